/** What `npm run lint` and `npm run typecheck` find is a failed test. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { suite } from "uvu";

const root = fileURLToPath(new URL("../..", import.meta.url));
const test = suite("checks");

for (const script of ["lint", "typecheck"]) {
  test(script, async () => {
    await promisify(execFile)("npm", ["run", "--silent", script], { cwd: root }).catch((error) => {
      throw new Error(`npm run ${script}:\n${error.stdout}${error.stderr}`);
    });
  });
}

test.run();
