/**
 * What a machine must have, as pure functions: `setup.mjs` gathers the facts, the tests make them up.
 *
 * This runs before node_modules exists, and on a Node that may be too old for the rest of the repository.
 */

export const oldestNode = "20.19";
/** Debian 12's. */
export const oldestKernel = "6.1";

/**
 * Installed when one of the things that the package provides is missing, so that a tool from elsewhere
 * (a newer clang in /usr/local) is left alone. `why` completes the sentence "NAME (WHY)".
 */
export const packages = [
  { name: "clang", provides: [{ command: "clang" }], why: "compiles the BPF programs" },
  { name: "llvm", provides: [{ command: "llvm-strip" }], why: "strips them" },
  { name: "bpftool", provides: [{ command: "bpftool" }], why: "links them" },
  { name: "libbpf-dev", provides: [{ pkgConfig: "libbpf" }], why: "loads them" },
  { name: "libelf-dev", provides: [{ pkgConfig: "libelf" }], why: "libbpf needs it" },
  { name: "zlib1g-dev", provides: [{ pkgConfig: "zlib" }], why: "libbpf needs it" },
  { name: "cmake", provides: [{ command: "cmake" }], why: "builds the addon" },
  { name: "g++", provides: [{ command: "g++" }], why: "compiles the addon" },
  { name: "make", provides: [{ command: "make" }], why: "cmake runs it" },
  { name: "pkg-config", provides: [{ command: "pkg-config" }], why: "finds libbpf" },
  { name: "iproute2", provides: [{ command: "ip" }], why: "makes the demo's network namespaces" },
  { name: "util-linux", provides: [{ command: "unshare" }, { command: "setpriv" }], why: "runs the demo's pods" },
  { name: "iptables", provides: [{ command: "iptables" }], why: "what Shunt is compared with", test: true },
  { name: "haproxy", provides: [{ command: "haproxy" }], why: "a real proxy for the tests", test: true },
  { name: "dnsmasq-base", provides: [{ command: "dnsmasq" }], why: "a real DNS server for the tests", test: true },
  { name: "bind9-dnsutils", provides: [{ command: "dig" }], why: "asks it", test: true },
  { name: "musl-tools", provides: [{ command: "musl-gcc" }], why: "its resolver asks it too", test: true },
  {
    name: "qemu-system-x86",
    provides: [{ command: "qemu-system-x86_64" }],
    why: "runs the tests on Debian's 6.1 kernel",
    test: true,
  },
  { name: "xz-utils", provides: [{ command: "xz" }], why: "unpacks that kernel", test: true },
  {
    name: "prometheus",
    provides: [{ command: "prometheus" }, { command: "promtool" }],
    why: "reads the agent's metrics in the tests",
    test: true,
  },
  {
    name: "etcd-server",
    provides: [{ command: "etcd" }],
    why: "keeps what the API server of the tests is told",
    test: true,
  },
  { name: "kubernetes-client", provides: [{ command: "kubectl" }], why: "edits pods in the tests", test: true },
  { name: "clang-format", provides: [{ command: "clang-format" }], why: "checks the C code's format", test: true },
];

/** @returns the packages of which something is missing. @param has whether one provided thing is there. */
export function missingPackages(has, { test }) {
  return packages.filter((each) => (test || !each.test) && !each.provides.every(has));
}

/** "6.1.0-37-amd64" → [6, 1]; undefined for what is no version. */
export function parseVersion(text) {
  const found = /^v?(\d+)\.(\d+)/.exec(text);
  return found ? [Number(found[1]), Number(found[2])] : undefined;
}

/** Whether `version` is `oldest` or newer. What cannot be read is not refused: the load will tell. */
export function atLeast(version, oldest) {
  const a = parseVersion(version);
  const b = parseVersion(oldest);
  if (!a || !b) return true;
  return a[0] > b[0] || (a[0] === b[0] && a[1] >= b[1]);
}

/** The kernel writes space, tab, newline and backslash of a path in octal. */
const unescaped = (text) => text.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)));

/** /proc/self/mounts → [{ source, target, type }]. */
export function parseMounts(text) {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split(" "))
    .map(([source = "", target = "", type = ""]) => ({ source: unescaped(source), target: unescaped(target), type }));
}

/** /proc/filesystems → names. */
export function parseFilesystems(text) {
  return text
    .split("\n")
    .map((line) => line.split("\t").at(-1) ?? "")
    .filter((name) => name !== "");
}

/**
 * Why this machine cannot do it, in one sentence that says how to get what is missing; undefined if it can.
 * The order is that of use: a wrong system is named before what it lacks.
 */
export function refusal(facts) {
  if (facts.platform !== "linux") {
    return `Shunt needs Linux, this is ${facts.platform}: run it in a virtual machine with Debian 12.`;
  }
  if (!atLeast(facts.node, oldestNode)) {
    return `Shunt needs Node.js ${oldestNode} or newer, this is ${facts.node}: install a current one from https://nodejs.org.`;
  }
  if (facts.uid !== 0) {
    return "Shunt loads programs into the kernel, which needs root: run the same command with sudo.";
  }
  if (!atLeast(facts.kernel, oldestKernel)) {
    return `Shunt needs Linux ${oldestKernel} or newer, this kernel is ${facts.kernel}: boot Debian 12's kernel or a newer one.`;
  }
  if (!facts.btf) {
    return "This kernel has no BTF (/sys/kernel/btf/vmlinux is not there): boot one built with CONFIG_DEBUG_INFO_BTF=y, as Debian's are.";
  }
  const filesystems = parseFilesystems(facts.filesystems);
  const cgroup2 = parseMounts(facts.mounts).some((mount) => mount.type === "cgroup2");
  if (!cgroup2 && !filesystems.includes("cgroup2")) {
    return "This kernel has no cgroup2 (it is neither mounted nor in /proc/filesystems): boot one built with CONFIG_CGROUPS=y and CONFIG_CGROUP_BPF=y, as Debian's are.";
  }
  if (!filesystems.includes("bpf")) {
    return "This kernel has no bpf file system (it is not in /proc/filesystems): boot one built with CONFIG_BPF_SYSCALL=y, as Debian's are.";
  }
  if (facts.missing.length > 0 && !facts.aptGet) {
    const names = facts.missing.map((each) => `${each.provides.map(nameOf).join(", ")} (Debian's ${each.name})`);
    return `There is no apt-get here to install what is missing: install ${names.join(", ")} and run the same command again.`;
  }
  return undefined;
}

const nameOf = (thing) => thing.command ?? `the development files of ${thing.pkgConfig}`;

/**
 * Whether node_modules holds what the lock file asks for. Compares contents, since a checkout changes times.
 * @param lock package-lock.json, parsed.
 * @param hidden node_modules/.package-lock.json, parsed: npm writes it when an installation is complete.
 */
export function installed(lock, hidden) {
  for (const [path, wanted] of Object.entries(lock.packages)) {
    if (path === "") continue;
    const found = hidden.packages[path];
    // Optional ones are for other platforms.
    if (!found && !wanted.optional && !wanted.peer) return false;
    if (found && (found.version !== wanted.version || found.integrity !== wanted.integrity)) return false;
  }
  return Object.keys(hidden.packages).every((path) => path in lock.packages);
}
