/**
 * The kernel inside a bzImage. QEMU starts it directly (PVH), which spares the guest from unpacking itself:
 * 3.5 of 11.5 seconds under emulation.
 */
import { execFileSync } from "node:child_process";

const xzMagic = Buffer.from("fd377a585a00", "hex");

/**
 * @param image a bzImage (Documentation/arch/x86/boot.rst).
 * @returns the ELF file, or undefined if it is not packed with xz, as Debian's have been until now.
 */
export function unpackKernel(image: Buffer): Buffer | undefined {
  if (image.length < 0x250 || image.toString("latin1", 0x202, 0x206) !== "HdrS") return undefined;
  const setupSectors = image.readUInt8(0x1f1) || 4; // 0 means 4
  const start = (setupSectors + 1) * 512 + image.readUInt32LE(0x248);
  const payload = image.subarray(start, start + image.readUInt32LE(0x24c));
  if (!payload.subarray(0, xzMagic.length).equals(xzMagic)) return undefined;
  // The size follows the one stream: not more of it.
  return execFileSync("xz", ["-dc", "--single-stream"], { input: payload, maxBuffer: 1 << 28, stdio: "pipe" });
}
