/**
 * What starts at boot, by the links that say so. Packages make them when they are installed, and policy-rc.d is not
 * asked about them: only about a start now.
 *
 * The links are taken back one by one, without deb-systemd-helper or update-rc.d: those take a name and change all that
 * bears it, and fail on a package that was installed halfway. What is left looks as after `systemctl disable` and
 * `update-rc.d NAME disable`, so an upgrade of the package does not enable it again.
 */
import { existsSync, readdirSync, readlinkSync, renameSync, rmSync } from "node:fs";
import { basename, join } from "node:path";

/** Of a directory, which need not be there. */
const entries = (directory) => (existsSync(directory) ? readdirSync(directory, { withFileTypes: true }) : []);

/** @returns the links below `root` that enable something, `{ path, target }`. One that leads nowhere does not. */
export function enabling(root = "/") {
  const units = join(root, "etc/systemd/system");
  const below = (directory, pattern) =>
    entries(directory)
      .filter(({ name }) => pattern.test(name))
      .map(({ name }) => join(directory, name));
  const links = (directory, pattern = /./) =>
    entries(directory)
      .filter((entry) => entry.isSymbolicLink() && pattern.test(entry.name))
      .map(({ name }) => join(directory, name));
  return [
    ...links(units),
    ...below(units, /\.(wants|requires)$/).flatMap((directory) => links(directory)),
    ...below(join(root, "etc"), /^rc.\.d$/).flatMap((directory) => links(directory, /^S\d\d/)),
  ]
    .map((path) => ({ path, target: readlinkSync(path) }))
    .filter(({ path, target }) => target !== "/dev/null" && existsSync(path));
}

/** The name of what a link enables: neither an alias nor a script's number is part of it. */
const enabled = ({ path, target }) => basename(/\.(wants|requires)\/[^/]*$/.test(path) ? path : target);

/**
 * @returns the paths of the links that enable what nothing enabled before. A new link to what was enabled stays: an
 * upgrade may move a unit to another target, and insserv numbers all scripts anew when one comes.
 */
export function cameWith(before, after) {
  const known = new Set(before.map(enabled));
  return after.filter((link) => !known.has(enabled(link))).map(({ path }) => path);
}

/** Disables what was enabled since. @param before what `enabling` said then. */
export function disableNew(before, root = "/") {
  for (const path of cameWith(before, enabling(root))) {
    // A script that has no links at all gets them anew at the next upgrade of its package.
    const script = /^(.*\/etc\/rc.\.d\/)S([^/]*)$/.exec(path);
    if (script) renameSync(path, `${script[1]}K${script[2]}`);
    else rmSync(path);
  }
}
