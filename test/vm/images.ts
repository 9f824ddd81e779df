/** Which package holds which kernel: names only, no apt. */

/** Debian's suites that have a kernel. `sid` has the newest. */
export function suitesOf(version: string): readonly string[] {
  if (version === "sid") return ["sid"];
  if (version === "6.1") return ["bookworm", "bookworm-security"];
  if (version === "6.12") return ["trixie", "trixie-security"];
  return ["bookworm-backports", "trixie-backports", "sid"];
}

const numbers = (release: string) => (release.match(/\d+/g) ?? []).map(Number);

/** Debian's releases differ in their numbers alone: 6.1.0-9 is before 6.1.0-37. */
function before(a: string, b: string): number {
  const [left, right] = [numbers(a), numbers(b)];
  const index = left.findIndex((number, at) => number !== right[at]);
  return index < 0 ? left.length - right.length : (left[index] ?? 0) - (right[index] ?? 0);
}

/**
 * @param packages names of packages. @param version as of `kernel()`.
 * @returns the newest release for ordinary amd64 machines, and the package with its image.
 */
export function newestImage(
  packages: readonly string[],
  version: string,
): { release: string; package: string } | undefined {
  const releases = packages
    .map((name) => /^linux-image-(\d+\.\d+[.-].*-amd64)$/.exec(name)?.[1] ?? "")
    .filter((release) => release !== "" && !/-(rt|cloud)-/.test(release))
    .filter((release) => version === "sid" || release.startsWith(`${version}.`) || release.startsWith(`${version}-`));
  const release = releases.sort(before).at(-1);
  if (release === undefined) return undefined;
  // Newer packages keep the image apart from the modules.
  const separate = `linux-binary-${release}`;
  return { release, package: packages.includes(separate) ? separate : `linux-image-${release}` };
}
