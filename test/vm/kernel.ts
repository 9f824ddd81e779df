/** Debian's kernels, without installing one: the package is fetched and its image taken out. */
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { unpackKernel } from "./bzimage.js";
import { newestImage, suitesOf } from "./images.js";

const cache = fileURLToPath(new URL("../../build/vm", import.meta.url));

export interface Kernel {
  /** What `uname -r` will say. */
  readonly release: string;
  readonly image: string;
}

/** What apt is told: nothing for the machine's own package lists. */
type Options = readonly string[];

const names = (options: Options) =>
  execFileSync("apt-cache", [...options, "pkgnames", "linux-"], { encoding: "utf8", maxBuffer: 1 << 26 }).split("\n");

/** Where this machine's own apt finds an archive. @param label of its Release file: Debian, Debian-Security. */
function mirror(label: string): string {
  const format = ["--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages"];
  const lines = execFileSync("apt-get", ["indextargets", ...format], { encoding: "utf8" }).split("\n");
  const found = lines.map((line) => line.split(" ")).find(([name]) => name === label)?.[1];
  if (found === undefined)
    throw new Error(`apt knows no archive labelled ${label} on this machine: run "apt-get update"`);
  return found;
}

/** Package lists of our own, so that the machine's sources stay as they are. */
function ownLists(version: string): Options {
  const suites = suitesOf(version);
  const state = join(cache, "apt", suites.join("+"));
  mkdirSync(join(state, "lists/partial"), { recursive: true });
  const line = (suite: string) => {
    const archive = mirror(suite.endsWith("-security") ? "Debian-Security" : "Debian");
    return `deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${archive} ${suite} main\n`;
  };
  writeFileSync(join(state, "sources.list"), suites.map(line).join(""));
  const settings = {
    "Dir::Etc::sourcelist": join(state, "sources.list"),
    "Dir::Etc::sourceparts": "/dev/null",
    "Dir::State": state,
    "Dir::State::status": "/dev/null",
    "Dir::Cache": state,
    "APT::Sandbox::User": "root",
    "Acquire::Retries": "3",
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  execFileSync("apt-get", [...options, "-q", "update"], { stdio: "pipe" });
  return options;
}

/** Leaves the files `image` and `release` in the directory. */
function fetch(version: string, directory: string): void {
  let options: Options = ["-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=3"];
  // What is newest for this machine is not what is newest in Debian.
  let found = version === "sid" ? undefined : newestImage(names(options), version);
  if (!found) {
    options = ownLists(version);
    found = newestImage(names(options), version);
  }
  if (!found) throw new Error(`no Debian suite of ${suitesOf(version).join(", ")} has a kernel ${version} for amd64`);
  execFileSync("apt-get", [...options, "-q", "download", found.package], { cwd: directory, stdio: "pipe" });
  const archive = readdirSync(directory).find((name) => name.endsWith(".deb")) ?? "";
  // Only the image: the modules are 50 times its size.
  const unpack = `dpkg-deb --fsys-tarfile "$0" | tar -x --wildcards --transform 's|.*/||' '*/vmlinuz*'`;
  execFileSync("bash", ["-o", "pipefail", "-c", unpack, archive], { cwd: directory, stdio: "pipe" });
  rmSync(join(directory, archive));
  const packed = join(directory, readdirSync(directory).find((name) => name.startsWith("vmlinuz")) ?? "");
  const unpacked = unpackKernel(readFileSync(packed));
  if (unpacked) writeFileSync(packed, unpacked);
  renameSync(packed, join(directory, "image"));
  writeFileSync(join(directory, "release"), found.release);
}

/**
 * @param version the beginning of one, such as `6.1` (Debian 12) or `6.12`, or `sid` for Debian's newest.
 * @returns the newest that Debian has, from the cache if it was fetched before.
 * @throws if apt cannot get it.
 */
export function kernel(version: string): Kernel {
  const home = join(cache, "kernels", version);
  if (!existsSync(home)) {
    mkdirSync(join(cache, "kernels"), { recursive: true });
    const scratch = mkdtempSync(join(cache, "kernels", ".new-"));
    try {
      fetch(version, scratch);
      // Whole or not at all: an interrupted download must not be taken for a kernel.
      renameSync(scratch, home);
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  }
  return { release: readFileSync(join(home, "release"), "utf8"), image: join(home, "image") };
}
