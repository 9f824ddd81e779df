/** The programs decide as the model does, which is proven against Istio's list (test/policy/decide.test.ts). */
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { LabPod } from "../../src/demo/labPod.js";
import { defaultMesh } from "../../src/model/mesh.js";
import { compilePolicy } from "../../src/policy/compile.js";
import { decideOutbound } from "../../src/policy/decide.js";
import { sidecarCapture } from "../../src/policy/sidecarCapture.js";
import { anyPort, anySettings, anySidecar } from "../policy/arbitrary.js";
import { address } from "../samples.js";
import { type Bed, openBed, until } from "./bed.js";
import { type Client, startClient } from "./client.js";

const own = ["10.9.9.9", "192.168.0.7"];
const callers = [
  { uid: 1000, gid: 1000 },
  { uid: 1337, gid: 1337 },
  { uid: 1000, gid: 1337 },
  { uid: 1337, gid: 1000 },
] as const;

const anySocket = fc.record({
  caller: fc.nat(callers.length - 1),
  source: fc.constantFrom(undefined, undefined, "127.0.0.6", "127.0.0.1", "10.88.0.2"),
  // biome-ignore format: as many as fit on a line
  destination: fc.oneof(
    fc.constantFrom(
      "10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.127", "10.0.0.128", "10.0.1.0", "10.255.255.255", "11.0.0.0", "9.255.255.255",
      "0.0.0.0", "0.0.0.1", "126.255.255.255", "127.0.0.0", "127.0.0.1", "127.0.0.2", "127.0.0.6", "127.255.255.255", "128.0.0.0",
      ...own,
    ),
    fc.ipV4(),
  ),
  port: anyPort,
});

interface Question {
  readonly caller: number;
  readonly source: string | undefined;
  readonly destination: string;
  readonly port: number;
}

/** What the kernel made of a connect(), from the ring. */
async function kernelSays(bed: Bed, client: Client, question: Question): Promise<string> {
  const before = bed.flows.length;
  const { source, destination, port } = question;
  const ask = { count: 1, parallel: 1, hosts: [destination], ports: [port], leave: true };
  await client.ask(source === undefined ? ask : { ...ask, localAddress: source });
  await until(`a flow for ${JSON.stringify(question)}`, () => bed.flows.length > before);
  const [flow, ...more] = bed.flows.slice(before);
  assert.is(more.length, 0);
  return `${flow?.verdict} ${flow?.reason} ${flow?.targetPort}`;
}

test("random policies and sockets: the kernel's verdict, reason and port are the model's", async () => {
  const bed = await openBed("decide");
  try {
    const pod: LabPod = await bed.lab.pod({ namespace: "test", name: "p", uid: "bb-1", address: "10.88.0.2" });
    const clients = await Promise.all(callers.map((ids) => startClient(pod, ids)));
    const localAddresses = own.map(address);
    bed.sampleFlows(1);
    let decisions = 0;
    const reasons = new Set<string>();
    await fc.assert(
      fc.asyncProperty(
        anySettings,
        fc.option(anySidecar),
        fc.array(anySocket, { minLength: 12, maxLength: 12 }),
        async (settings, sidecar, questions) => {
          const { capture } = sidecar === null ? {} : sidecarCapture(sidecar, defaultMesh, settings, "");
          const policy = compilePolicy({ ...settings, sidecar: capture });
          await bed.enrol([[pod, policy, { localAddresses, captureIpv6: true }]]);
          for (const question of questions) {
            const client = clients[question.caller] ?? assert.unreachable();
            const { uid, gid } = callers[question.caller] ?? callers[0];
            const model = decideOutbound(
              policy,
              { localAddresses, captureIpv6: true },
              {
                protocol: "tcp",
                source: question.source === undefined ? undefined : address(question.source),
                destination: address(question.destination),
                port: question.port,
                uid,
                gid,
                isProxyCgroup: false,
              },
            );
            const kernel = await kernelSays(bed, client as Client, question);
            assert.is(
              kernel,
              `${model.verdict} ${model.reason} ${model.to ?? 0}`,
              JSON.stringify({ question, uid, gid }),
            );
            reasons.add(model.reason);
            decisions++;
          }
        },
      ),
      { numRuns: 120 },
    );
    assert.is(decisions, 120 * 12);
    // The generator is of use only if it comes to the list's ends. Rare ones may stay away from one run; each has
    // kernel tests of its own.
    for (const reason of ["excluded-port", "included-port", "included-all", "proxy", "proxy-to-self", "loopback"]) {
      assert.ok(reasons.has(reason), `${reason} never came up`);
    }
  } finally {
    await bed.close();
  }
});

test.run();
