/** What an installation enables does not stay enabled, and nothing else changes. */
import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { cameWith, disableNew, enabling, type Link } from "../../.ci/enablement.mjs";

const system = "/etc/systemd/system";
const link = (path: string, target: string): Link => ({ path, target });

const before = [
  link(`${system}/sshd.service`, "/lib/systemd/system/ssh.service"),
  link(`${system}/multi-user.target.wants/ssh.service`, "/lib/systemd/system/ssh.service"),
  link(`${system}/getty.target.wants/getty@tty1.service`, "/lib/systemd/system/getty@.service"),
  link("/etc/rc2.d/S01cron", "../init.d/cron"),
];
const cases: readonly [what: string, added: Link, came: boolean][] = [
  ["a unit", link(`${system}/multi-user.target.wants/a.service`, "/lib/systemd/system/a.service"), true],
  ["a unit that another requires", link(`${system}/b.service.requires/a.socket`, "/lib/systemd/system/a.socket"), true],
  ["an alias", link(`${system}/dbus-org.a.service`, "/lib/systemd/system/a.service"), true],
  ["another instance", link(`${system}/a.target.wants/getty@tty2.service`, "/lib/systemd/system/getty@.service"), true],
  ["a script", link("/etc/rc3.d/S02a", "../init.d/a"), true],
  ["a script with a new number", link("/etc/rc2.d/S02cron", "../init.d/cron"), false],
  [
    "a unit with a new target",
    link(`${system}/a.target.wants/ssh.service`, "/usr/lib/systemd/system/ssh.service"),
    false,
  ],
  ["a unit with a new alias", link(`${system}/a.service`, "/lib/systemd/system/ssh.service"), false],
];
for (const [what, added, came] of cases) {
  test(`${what} ${came ? "came" : "was enabled before"}`, () => {
    assert.equal(cameWith(before, [...before, added]), came ? [added.path] : []);
    assert.equal(cameWith(before, [added]), came ? [added.path] : [], "whatever went meanwhile");
  });
}

test("on disk: units' links go, scripts' stop instead, and all else stays", () => {
  const root = mkdtempSync(join(tmpdir(), "shunt-enablement-"));
  const write = (path: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), "");
  };
  const enable = (path: string, target: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    symlinkSync(target.startsWith("/lib") ? join(root, target) : target, join(root, path));
  };
  const links = (): string[] =>
    readdirSync(root, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isSymbolicLink())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => `${path.slice(root.length)} ${readlinkSync(path).replace(root, "")}`)
      .sort();
  try {
    assert.equal(enabling(root), [], "a machine without any");
    for (const name of ["old", "new"]) for (const path of [`lib/${name}.service`, `etc/init.d/${name}`]) write(path);
    write("etc/systemd/system/own.service");
    enable("etc/systemd/system/multi-user.target.wants/old.service", "/lib/old.service");
    enable("etc/rc2.d/S01old", "../init.d/old");
    // Of a package that was removed and not purged: it is there, and enables nothing until the package is back.
    enable("etc/systemd/system/multi-user.target.wants/back.service", "/lib/back.service");
    enable("etc/systemd/system/back.service", "/dev/null");
    const whole = links();

    const then = enabling(root);
    write("lib/back.service");
    for (const path of ["new.target.requires/new.service", "multi-user.target.wants/new.service", "alias.service"])
      enable(`etc/systemd/system/${path}`, "/lib/new.service");
    enable("etc/systemd/system/masked.service", "/dev/null");
    enable("etc/rc2.d/S02new", "../init.d/new");
    enable("etc/rc0.d/K01new", "../init.d/new");
    disableNew(then, root);
    const left = [
      ...whole.filter((line) => !line.includes("wants/back")),
      "/etc/systemd/system/masked.service /dev/null",
      "/etc/rc2.d/K02new ../init.d/new",
      "/etc/rc0.d/K01new ../init.d/new",
    ];
    assert.equal(links(), left.sort());
    disableNew(then, root);
    assert.equal(links(), left, "again: there is nothing to do");
  } finally {
    rmSync(root, { recursive: true });
  }
});

test.run();
