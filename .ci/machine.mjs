/** The facts of this machine, for `requirements.mjs` to judge. */
import { accessSync, constants, existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { release } from "node:os";
import { delimiter, join } from "node:path";
import { missingPackages } from "./requirements.mjs";

/** Debian puts bpftool, ip and iptables into sbin, which su and cron leave out of PATH. */
export function widenPath(env = process.env) {
  const path = (env.PATH ?? "").split(delimiter).filter((each) => each !== "");
  env.PATH = [...new Set([...path, "/usr/local/sbin", "/usr/sbin", "/sbin"])].join(delimiter);
}

export function hasCommand(name, env = process.env) {
  return (env.PATH ?? "").split(delimiter).some((directory) => {
    const path = join(directory, name);
    try {
      accessSync(path, constants.X_OK);
      return statSync(path).isFile();
    } catch {
      return false;
    }
  });
}

/** Looks for the .pc file itself: pkg-config may be one of the things that are missing. */
function hasPkgConfig(name, env = process.env) {
  const roots = ["/usr/local/lib", "/usr/lib", "/usr/local/lib64", "/usr/lib64", "/usr/share", "/usr/local/share"];
  const multiarch = roots.slice(0, 2).flatMap((root) => {
    const names = existsSync(root) ? readdirSync(root) : [];
    return names.filter((each) => each.includes("-linux-")).map((each) => join(root, each));
  });
  const own = (env.PKG_CONFIG_PATH ?? "").split(delimiter).filter((each) => each !== "");
  return [...own, ...[...roots, ...multiarch].map((root) => join(root, "pkgconfig"))].some((directory) =>
    existsSync(join(directory, `${name}.pc`)),
  );
}

export const has = (thing) => (thing.command ? hasCommand(thing.command) : hasPkgConfig(thing.pkgConfig));

const read = (path) => (existsSync(path) ? readFileSync(path, "utf8") : "");

/** @param options.test whether the tests' packages count too. */
export function facts({ test }) {
  return {
    platform: process.platform,
    uid: process.getuid?.() ?? -1,
    node: process.versions.node,
    kernel: release(),
    btf: existsSync("/sys/kernel/btf/vmlinux"),
    filesystems: read("/proc/filesystems"),
    mounts: read("/proc/self/mounts"),
    aptGet: hasCommand("apt-get"),
    missing: missingPackages(has, { test }),
  };
}
