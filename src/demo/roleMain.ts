/** The entry of the demo's programs in a run from source: `roleMain.ts __<role> [arguments]`. */
import { runRole } from "./role.js";

const [role = "", ...args] = process.argv.slice(2);
runRole(role.replace(/^__/, ""), args).catch((error: Error) => {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
});
