import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  atLeast,
  type Facts,
  installed,
  type Lock,
  missingPackages,
  type Provided,
  packages,
  parseFilesystems,
  parseMounts,
  parseVersion,
  refusal,
} from "../../.ci/requirements.mjs";

const debian: Facts = {
  platform: "linux",
  uid: 0,
  node: "20.19.0",
  kernel: "6.1.0-37-amd64",
  btf: true,
  filesystems: "nodev\tsysfs\nnodev\tcgroup\nnodev\tcgroup2\nnodev\tbpf\n\text4\n",
  mounts: "proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n",
  aptGet: true,
  missing: [],
};

test("Debian 12 as it comes will do", () => {
  assert.is(refusal(debian), undefined);
});

test("what is missing does not matter where apt-get can bring it", () => {
  assert.is(refusal({ ...debian, missing: packages }), undefined);
});

test("cgroup2 need not be mounted where systemd does, or at all", () => {
  assert.is(refusal({ ...debian, mounts: "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n" }), undefined);
  assert.is(refusal({ ...debian, mounts: "" }), undefined);
  assert.is(refusal({ ...debian, filesystems: "nodev\tbpf\n" }), undefined);
});

const refused: readonly [string, Partial<Facts>, RegExp][] = [
  ["another system", { platform: "darwin" }, /needs Linux, this is darwin: .*virtual machine/],
  ["an old Node", { node: "20.18.3" }, /needs Node\.js 20\.19 or newer, this is 20\.18\.3: .*nodejs\.org/],
  ["no root", { uid: 1000 }, /needs root: .*sudo/],
  ["an old kernel", { kernel: "5.10.0-28-amd64" }, /needs Linux 6\.1 or newer, this kernel is 5\.10\.0-28-amd64: boot/],
  ["no BTF", { btf: false }, /no BTF \(\/sys\/kernel\/btf\/vmlinux .*CONFIG_DEBUG_INFO_BTF=y/],
  ["no cgroup2", { mounts: "", filesystems: "nodev\tcgroup\nnodev\tbpf\n" }, /no cgroup2 .*CONFIG_CGROUP_BPF=y/],
  ["no bpf file system", { filesystems: "nodev\tcgroup2\n" }, /no bpf file system .*CONFIG_BPF_SYSCALL=y/],
  [
    "no apt-get",
    { aptGet: false, missing: packages.filter((each) => ["llvm", "libelf-dev", "util-linux"].includes(each.name)) },
    /no apt-get .*: install llvm-strip \(Debian's llvm\), the development files of libelf \(Debian's libelf-dev\), unshare, setpriv \(Debian's util-linux\) and run/,
  ],
];
for (const [name, change, expected] of refused) {
  test(`${name}: one clear sentence`, () => {
    const sentence = refusal({ ...debian, ...change }) ?? "";
    assert.match(sentence, expected);
    assert.match(sentence, /^[^\n]*[^.]\.$/);
  });
}

test("the first thing that stands in the way is named", () => {
  assert.match(refusal({ ...debian, platform: "win32", uid: -1, btf: false }) ?? "", "needs Linux");
  assert.match(refusal({ ...debian, node: "18.0.0", uid: 1 }) ?? "", "Node.js");
});

test("a package is missing if any of what it provides is", () => {
  const names = (has: (thing: Provided) => boolean, all: boolean) =>
    missingPackages(has, { test: all }).map((each) => each.name);
  assert.equal(
    names(() => true, true),
    [],
  );
  assert.equal(
    names((thing) => thing.command !== "setpriv", true),
    ["util-linux"],
  );
  assert.equal(
    names((thing) => thing.pkgConfig !== "libbpf", false),
    ["libbpf-dev"],
  );
  assert.equal(
    names((thing) => thing.command !== "haproxy", false),
    [],
  );
  assert.equal(
    names((thing) => thing.command !== "haproxy", true),
    ["haproxy"],
  );
  assert.equal(
    names((thing) => thing.command !== "promtool", true),
    ["prometheus"],
  );
  assert.is(names(() => false, true).length, packages.length);
});

test("versions", () => {
  assert.equal(parseVersion("6.1.0-37-amd64"), [6, 1]);
  assert.equal(parseVersion("v24.4.1"), [24, 4]);
  assert.is(parseVersion("unknown"), undefined);
  for (const version of ["6.1", "6.1.0", "6.12.107+deb12-amd64", "7.0.0-rc1", "unknown"])
    assert.ok(atLeast(version, "6.1"), version);
  for (const version of ["6.0.19", "5.15.0", "4.19"]) assert.not.ok(atLeast(version, "6.1"), version);
});

test("mounts, with the kernel's escapes", () => {
  assert.equal(parseMounts("none /a\\040b\\134c cgroup2 rw,relatime 0 0\n"), [
    { source: "none", target: "/a b\\c", type: "cgroup2" },
  ]);
});

test("file systems", () => {
  assert.equal(parseFilesystems("nodev\tbpf\n\text4\n"), ["bpf", "ext4"]);
});

test("node_modules against the lock file", () => {
  const lock: Lock = {
    packages: {
      "": { version: "0.1.0" },
      "node_modules/a": { version: "1.0.0", integrity: "x" },
      "node_modules/b-darwin": { version: "1.0.0", integrity: "y", optional: true },
    },
  };
  const hidden = (version: string, more = {}): Lock => ({
    packages: { "node_modules/a": { version, integrity: "x" }, ...more },
  });
  assert.ok(installed(lock, hidden("1.0.0")));
  assert.not.ok(installed(lock, hidden("0.9.0")));
  assert.not.ok(installed(lock, hidden("1.0.0", { "node_modules/gone": { version: "1.0.0" } })));
  assert.not.ok(installed(lock, { packages: {} }));
});

test.run();
