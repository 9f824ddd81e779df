/** `shunt wait` without Shunt: iptables captures as well. With it: test/kernel/wait.test.ts. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Finding } from "../../src/cli/captureProbe.js";
import { untilCaptured, wait } from "../../src/cli/wait.js";
import { openLab } from "../../src/demo/lab.js";
import { command, firstLine } from "../../src/demo/process.js";
import { UsageError } from "../../src/errors.js";
import { bundle } from "../kernel/agentBed.js";

let directory: string;
let main: string;
test.before(async () => {
  directory = mkdtempSync(join(tmpdir(), "shunt-test-wait-"));
  main = await bundle(directory);
});
test.after(() => rmSync(directory, { recursive: true }));

test("it tries until the pod is captured, and at least once", async () => {
  const after = (tries: number) => {
    let count = 0;
    const probe = async (): Promise<Finding> => ({ captured: ++count >= tries, saw: `${count}` });
    return probe;
  };
  assert.equal(await untilCaptured(after(3), 60_000), { captured: true, saw: "3" });
  assert.equal(await untilCaptured(after(1), 0), { captured: true, saw: "1" });
  assert.equal(await untilCaptured(after(2), 0), { captured: false, saw: "1" });
});

test("wrong usage is told in words", async () => {
  for (const [args, says] of [
    [["--timeout", "soon"], /--timeout soon is not a number of seconds/],
    [["--timeout", ""], /--timeout {2}is not a number/],
    [["--timeout=-1"], /--timeout -1 is not/],
    [["--inbound-port", "0"], /--inbound-port 0 is not a port to listen on/],
    [["--outbound-port", "65536"], /--outbound-port 65536 is not a port/],
    [["now"], /shunt wait: .*'now'/],
  ] as const) {
    const error = await wait(args, () => {}).catch((thrown: unknown) => thrown);
    assert.instance(error, UsageError);
    assert.match((error as Error).message, says);
  }
});

test("as who may do nothing: 1 and a sentence where nothing captures, 0 where rules do, and beside a proxy", async () => {
  const lab = await openLab({ kind: "wait" });
  try {
    const pod = await lab.pod({ namespace: "test", name: "p", uid: "ee-0", address: "10.88.3.2" });
    const ids = { container: "wait", uid: 1337, gid: 1337, env: { NODE_V8_COVERAGE: "" } };
    const shunt = (...args: string[]) => pod.exec([process.execPath, main, "wait", "--timeout", "0", ...args], ids);
    const rule = "-A OUTPUT -o lo ! -d 127.0.0.1/32 -p tcp -m owner --uid-owner 1337 -j REDIRECT --to-ports 15006";
    const never = await shunt();
    assert.equal([never.status, never.stdout], [1, ""]);
    assert.match(
      never.stderr,
      /^not captured after \d\.\d s: a connection to 127\.0\.0\.6:15002 failed \(ECONNREFUSED\)\. Is the pod enrolled, .*uid 1337 and gid 1337\)\?\n$/,
    );
    await command(["nsenter", `--net=${pod.netns}`, "iptables", "-t", "nat", ...rule.split(" ")]);
    const proven = await shunt();
    assert.equal([proven.status, proven.stderr], [0, ""]);
    assert.match(
      proven.stdout,
      /^captured after \d\.\d s: a connection to 127\.0\.0\.6:15002 arrived at 127\.0\.0\.1:15006\n$/,
    );
    assert.is((await shunt("--inbound-port", "15007")).status, 1);

    const proxy = `require("net").createServer(() => {}).listen(15006, "0.0.0.0", () => console.log("ready"))`;
    await firstLine(pod.spawn([process.execPath, "-e", proxy], { ...ids, container: "istio-proxy" }));
    const beside = await shunt();
    assert.equal([beside.status, beside.stderr], [0, ""]);
    assert.match(beside.stdout, /15002 was taken by the proxy on 127\.0\.0\.1:15006\n$/);
  } finally {
    await lab.close();
  }
});

test.run();
