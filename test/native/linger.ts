/** Run by life.test.ts: leaves one of each that wakes the process open, told by arguments which of them hold the process. */
import { native } from "../../src/kernel/native.js";
import { compile, openOnly } from "./kit.js";

const [mode] = process.argv.slice(2);
const object = openOnly(compile("maps"));
object.load();
const handles = [
  native().openRing(object.map("ring"), () => {}),
  native().openInotify(() => {}),
  native().openNetnsWatch(() => {}),
];
for (const handle of handles) {
  if (mode !== "ref") handle.unref();
  if (mode === "again") {
    handle.ref();
    handle.unref();
  }
}
if (mode === "close") for (const handle of handles) handle.close();
if (mode === "ref") process.send?.("open");
