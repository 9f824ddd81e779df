/**
 * Makes a machine ready: what `npm run demo` and `npm test` (with --test) call first. Says in one sentence
 * what it cannot provide (exit 3), installs what is missing, builds what is out of date.
 */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { install } from "./apt.mjs";
import { build } from "./build.mjs";
import { CommandFailed, run } from "./command.mjs";
import { facts, widenPath } from "./machine.mjs";
import { installed, refusal } from "./requirements.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const json = (path) => JSON.parse(readFileSync(path, "utf8"));

async function dependencies() {
  const hidden = `${root}node_modules/.package-lock.json`;
  if (existsSync(hidden) && installed(json(`${root}package-lock.json`), json(hidden))) return;
  console.log("setup: installing the npm packages of package-lock.json");
  // No package of ours needs its install script: esbuild and biome find their binaries by themselves.
  // Many lines: npm names the cause before its usage.
  await run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], { cwd: root, lines: 120 });
}

async function setup(options) {
  widenPath();
  const found = facts(options);
  const no = refusal(found);
  if (no) {
    console.error(no);
    return 3;
  }
  if (found.missing.length > 0) {
    const list = found.missing.map((each) => `${each.name} (${each.why})`).join(", ");
    console.log(`setup: installing Debian packages: ${list}`);
    await install(found.missing.map((each) => each.name));
    const still = facts(options).missing;
    if (still.length > 0) {
      console.error(
        `apt-get succeeded, but these packages did not bring what they should: ${still.map((each) => each.name).join(", ")}.`,
      );
      return 3;
    }
  }
  await dependencies();
  await build(root);
  return 0;
}

try {
  process.exitCode = await setup({ test: process.argv.includes("--test") });
} catch (error) {
  if (!(error instanceof CommandFailed)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
