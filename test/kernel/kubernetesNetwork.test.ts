/** What may happen between a cluster and the agent: a file of its own, since real servers take long to start again. */
import { readdirSync } from "node:fs";
import * as assert from "uvu/assert";
import { reach } from "./agentBed.js";
import { until } from "./bed.js";
import { type ClusterCase, captured, excluded, isPolicy, onClusters, there } from "./clusterSuite.js";

const cases: Readonly<Record<string, ClusterCase>> = {
  async "whatever happens to the way to the server, no pod loses its policy, and what was missed comes"(lab, pod) {
    const { bed, pins } = lab;
    const { agent } = await lab.ready();
    const other = await lab.makePod("other", "10.88.0.6");
    await agent.waitFor(isPolicy("other"), 0, 60_000);
    const from = agent.events.length;
    const policy = pins.record(pod.cgroupId)?.policy;
    const seen = new Set<bigint | undefined>();
    const watching = setInterval(() => seen.add(pins.record(pod.cgroupId)?.policy), 10);
    const open = (): number => readdirSync(`/proc/${agent.pid}/fd`).length;
    const before = open();
    /** An edit of the other pod that is made while the way is bad arrives in the end. */
    let edits = 0;
    const arrives = async (
      what: string,
      spoil: () => Promise<unknown>,
      mend: () => Promise<unknown>,
    ): Promise<void> => {
      const start = agent.events.length;
      await spoil();
      await lab.annotate("other", edits++ % 2 === 0 ? excluded : captured);
      await mend();
      await agent.waitFor(isPolicy("other"), start, 90_000).catch((error: Error) => {
        throw new Error(`${what}: ${error.message}`);
      });
    };
    const wire = (mode: "pass" | "refuse") => async (): Promise<void> => {
      bed.wire.mode = mode;
      bed.wire.cut();
    };
    try {
      await arrives(
        "latency",
        async () => {
          bed.wire.delay = 100;
        },
        async () => {},
      );
      bed.wire.delay = 0;
      await arrives(
        "a cut",
        async () => bed.wire.cut(),
        async () => {},
      );
      await arrives("a forgotten history", wire("refuse"), () => bed.forgetHistory().then(wire("pass")));
      await arrives(
        "rights taken away",
        async () => {
          const start = agent.events.length;
          await bed.forbid("pods");
          bed.wire.cut();
          await agent.waitFor(({ event, msg }) => event === "problem" && msg.includes("forbidden"), start, 60_000);
        },
        () => bed.allow(),
      );
      await arrives(
        "a token that is worth nothing",
        () => bed.rotateToken().then(wire("pass")),
        async () => {},
      );
      await arrives("a restart", wire("refuse"), () => bed.restart().then(wire("pass")));
      assert.is(await reach(pod, there), `proxy ${there}`);
      await until("no connection is left behind", () => open() <= before, 60_000);
      assert.is(pins.count("pods"), 2);
    } finally {
      clearInterval(watching);
      bed.wire.delay = 0;
      bed.wire.mode = "pass";
      await bed.allow();
      await lab.removePod(other);
    }
    assert.equal([...seen], [policy]);
    assert.not.ok(agent.events.slice(from).some(isPolicy(pod.name)), "its policy was never another");
  },
};

onClusters("agent and network", cases);
