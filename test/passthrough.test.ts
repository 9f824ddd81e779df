import { test } from "uvu";
import * as assert from "uvu/assert";
import { noNamespace } from "../src/desiredPod.js";
import type { PodNamespace } from "../src/node/namespace.js";
import { openPassthrough, passthrough6 } from "../src/passthrough.js";
import { address, podState } from "./samples.js";

const namespace = (link: string, ...own: string[]): PodNamespace => ({
  ...noNamespace,
  link,
  addresses: own.map(address),
});
const pods = (captureIpv6: boolean) => new Map([[7n, podState(7n, 1n, { captureIpv6 })]]);

/** @param refusal what the kernel says; undefined: nothing is wrong. */
function open(refusal?: string) {
  const added: string[] = [];
  let changes = 0;
  const passthrough = openPassthrough({
    async add(pid, netns) {
      added.push(`${pid} ${netns}`);
      if (refusal !== undefined) throw new Error(refusal);
    },
    findProcess: (_pod, netns) => (netns === "net:[9]" ? undefined : 42),
    nameOf: () => "a/p",
    onChange: () => changes++,
  });
  return { added, changes: () => changes, pass: passthrough.pass };
}

test("each namespace is asked once, where IPv6 is captured and ::6 is not there", () => {
  const { added, pass } = open();
  pass(pods(false), new Map([[7n, namespace("net:[1]", "fd00::1")]]));
  pass(pods(true), new Map([[7n, null]]));
  pass(pods(true), new Map());
  assert.equal(added, []);
  pass(pods(true), new Map([[7n, { ...namespace("net:[1]", "fd00::1"), addresses: [passthrough6] }]]));
  pass(pods(true), new Map([[7n, namespace("net:[9]", "fd00::1")]]));
  assert.equal(added, [], "it is there; no process is in it any more");
  for (let twice = 0; twice < 2; twice++) pass(pods(true), new Map([[7n, namespace("net:[1]", "fd00::1")]]));
  assert.equal(added, ["42 net:[1]"]);
  pass(pods(true), new Map([[7n, namespace("net:[2]", "fd00::1")]]));
  assert.equal(added, ["42 net:[1]", "42 net:[2]"], "a new sandbox");
});

test("a refusal is a problem of the pod", async () => {
  const { pass, changes } = open("EPERM");
  const seen = new Map([[7n, namespace("net:[1]", "fd00::1")]]);
  assert.equal(pass(pods(true), seen), []);
  await new Promise((resolve) => setImmediate(resolve));
  assert.is(changes(), 1);
  const [problem, ...more] = pass(pods(true), seen);
  assert.equal([problem?.pod, problem?.key, problem?.why], ["a/p", "::6", "the proxy cannot bind ::6: EPERM"]);
  assert.is(more.length, 0);
  assert.equal(pass(new Map(), seen), [], "nor when the pod is gone");
});

test.run();
