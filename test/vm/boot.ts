/** Runs a kernel and an initramfs under QEMU, without any device but a serial line. */
import { spawn } from "node:child_process";

export interface Machine {
  readonly kernel: string;
  readonly initramfs: string;
  /** Milliseconds. */
  readonly deadline: number;
}

export interface Outcome {
  /** Of the guest's script; undefined if the guest did not get that far. */
  readonly status: number | undefined;
  /** The serial line, as Unix text. */
  readonly output: string;
  readonly seconds: number;
}

/**
 * Emulation, not KVM: it is everywhere the same, and a virtual machine as a test machine is common.
 * A panic reboots at once (panic=-1), and a reboot ends QEMU.
 */
const machine = [
  "-accel",
  "tcg",
  "-cpu",
  "max",
  "-m",
  "1024",
  "-smp",
  "2",
  "-nodefaults",
  "-display",
  "none",
  "-serial",
  "stdio",
  "-no-reboot",
];
const commandLine = "console=ttyS0 panic=-1 quiet";

/** @returns when QEMU has ended, by itself or at the deadline. @throws if it cannot be started. */
export function boot({ kernel, initramfs, deadline }: Machine): Promise<Outcome> {
  const begin = performance.now();
  return new Promise((resolve, reject) => {
    const files = ["-kernel", kernel, "-initrd", initramfs, "-append", commandLine];
    const qemu = spawn("qemu-system-x86_64", [...machine, ...files], { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [qemu.stdout, qemu.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        output += text.replaceAll("\r", "");
      });
    }
    const late = setTimeout(() => qemu.kill("SIGKILL"), deadline);
    qemu.once("error", reject);
    qemu.once("close", () => {
      clearTimeout(late);
      const status = /^init: status (\d+)$/m.exec(output)?.[1];
      resolve({
        status: status === undefined ? undefined : Number(status),
        output,
        seconds: (performance.now() - begin) / 1000,
      });
    });
  });
}
