/** `shunt explain --live` where the pod's own network decides: its interfaces, its routes, its proxy's listener. */
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { explain } from "../../src/cli/explain.js";
import type { LabPod } from "../../src/demo/labPod.js";
import { command, firstLine } from "../../src/demo/process.js";
import { UsageError } from "../../src/errors.js";
import { script } from "../kernel/bed.js";
import { startClient } from "../kernel/client.js";
import { type AgentHere, openAgentHere, traffic } from "./agentHere.js";

let here: AgentHere;
let pod: LabPod;
test.before(async () => {
  here = await openAgentHere("network");
  pod = await here.lab.pod({ namespace: "test", name: "a", uid: "ab-1", address: "10.88.0.2" });
  const ip = (...args: string[]) => command(["nsenter", `--net=${pod.netns}`, "ip", ...args]);
  await ip("link", "add", "extra", "type", "veth", "peer", "name", "peer");
  await ip("addr", "add", "10.77.0.1/24", "dev", "extra");
  for (const end of ["extra", "peer"]) await ip("link", "set", end, "up");
  await here.edit(pod, { [traffic("excludeInterfaces")]: "extra" });
  await here.start();
  await startClient(pod); // the pod's first process shows its network
});
test.after(() => here.close());

interface Said {
  readonly verdict: string;
  readonly to: string | null;
  readonly alsoTo?: readonly string[];
  readonly reason: string;
  readonly rule: string;
  readonly notes: readonly string[];
  readonly considered: readonly { readonly rule: string; readonly outcome: string }[];
}

async function text(...args: readonly string[]): Promise<string> {
  const printed: string[] = [];
  const all = ["--pod", "test/a", "--live", "--control", here.control, ...args];
  assert.is(await explain(all, (line) => printed.push(line)), 0);
  return printed.join("\n");
}
const live = async (...args: readonly string[]): Promise<Said> => JSON.parse(await text(...args, "--json")) as Said;

test("excluded interfaces: the pod's routes and its interfaces by name", async () => {
  const away = ["--to", "10.77.0.9:80"] as const;
  for (const end = Date.now() + 60_000; (await live(...away)).reason !== "excluded-interface"; ) {
    assert.ok(Date.now() < end, "its routes are not in the kernel after 60 s");
    await sleep(50);
  }
  const said = await live(...away);
  assert.equal([said.verdict, said.to, said.notes], ["bypass", null, []]);
  assert.equal(said.considered[0], { rule: "leaves by an excluded interface: extra", outcome: "yes" });
  assert.is((await live("--to", "10.99.0.1:80")).reason, "included-all");

  const arrives = await live("--inbound", "80", "--interface", "extra");
  assert.equal([arrives.reason, arrives.rule], ["excluded-interface", "extra"]);
  const other = await live("--inbound", "80");
  assert.is(other.verdict, "redirect");
  assert.match(other.notes.join(), /arrives by none of the excluded interfaces \(extra\): --interface extra$/);
  for (const [args, why] of [
    [["--inbound", "80", "--interface", "eth7"], /--interface eth7: the pod has .*extra/],
    [[...away, "--interface", "extra"], /the pod's own routes tell it/],
  ] as const) {
    const error = await live(...args).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    assert.instance(error, UsageError);
    assert.match((error as Error).message, why);
  }
});

test("where a redirect goes: to one address, or to several where the proxy listens on every one", async () => {
  const ids = { container: "istio-proxy", uid: 1337, gid: 1337 };
  const question = ["--to", "10.99.0.1:80"] as const;
  const listen = async (place: string) => {
    const proxy = pod.spawn(script("originServer.ts", "proxy", place), ids);
    await firstLine(proxy, 60_000);
    return async () => {
      const ended = new Promise((resolve) => proxy.once("exit", resolve));
      proxy.kill("SIGKILL");
      await ended;
    };
  };
  const end = await listen("127.0.0.1:15001");
  const narrow = await live(...question);
  assert.equal([narrow.to, narrow.alsoTo], ["127.0.0.1:15001", []]);
  await end();
  const endWide = await listen("0.0.0.0:15001");
  const wide = await live(...question);
  assert.is(wide.to, "127.0.0.1:15001");
  assert.equal(
    wide.alsoTo,
    [1, 2, 3, 4, 5, 6, 7].map((i) => `127.65.0.${i}:15001`),
  );
  assert.match(
    await text(...question),
    /127\.0\.0\.1:15001, or 127\.65\.0\.1:15001 to 127\.65\.0\.7:15001: its proxy listens/,
  );
  assert.equal((await live("--inbound", "80")).alsoTo, []);
  await endWide();
});

test.run();
