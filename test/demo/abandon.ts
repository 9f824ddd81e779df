/** A program that opens a lab of the kind given, starts processes in it, says so, and waits to be killed. */
import { openLab } from "../../src/demo/lab.js";
import { firstLine } from "../../src/demo/process.js";

const lab = await openLab({ kind: process.argv[2] ?? "" });
const pod = await lab.pod({ namespace: "test", name: "left", uid: "aaaa-1", address: "10.77.0.2" });
const direct = pod.spawn(["sh", "-c", "echo here; exec sleep 600"], { container: "app", uid: 1337, gid: 1337 });
await firstLine(direct);
// Its child does not inherit that it dies with us.
const parent = pod.spawn(["sh", "-c", "sleep 600 & echo $!; wait"], { container: "app" });
const orphan = Number(await firstLine(parent));
console.log(JSON.stringify({ lab: lab.name, direct: direct.pid, parent: parent.pid, orphan }));
setInterval(() => {}, 60_000);
