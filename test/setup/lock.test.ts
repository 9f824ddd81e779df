import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";

interface Entry {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/**
 * `npm ci` refuses a lock file that lacks a package for another platform. npm writes such a file when the registry
 * at hand did not have that package, and says nothing: it shows on a fresh machine only.
 */
test("package-lock.json names every package that one of its packages asks for", () => {
  const lock = new URL("../../package-lock.json", import.meta.url);
  const { packages } = JSON.parse(readFileSync(lock, "utf8")) as { packages: Record<string, Entry> };
  const nested = (path: string, name: string) =>
    path
      .split("/node_modules/")
      .map((_, index, parts) => [...parts.slice(0, index + 1), name].join("/node_modules/"))
      .some((place) => place in packages);
  const missing = Object.entries(packages).flatMap(([path, entry]) =>
    Object.keys({ ...entry.dependencies, ...entry.optionalDependencies }).filter(
      (name) => !(`node_modules/${name}` in packages) && !nested(path, name),
    ),
  );
  assert.equal(missing, []);
});

test.run();
