/** Whose connections are whose. */
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { VerdictCount } from "../../src/maps/counts.js";
import { type Detail, details, ownerOf } from "../../src/metrics/detail.js";
import { type Ledger, openLedger } from "../../src/metrics/ledger.js";
import { directions, reasons, verdicts } from "../../src/model/verdict.js";
import { count, pod } from "./kit.js";

/** `namespace/pod` → count over all decisions; the node's under `node`. */
function shown(ledger: Ledger): Record<string, number> {
  const result: Record<string, number> = { node: 0 };
  const addTo = (key: string, value: bigint): void => {
    result[key] = (result[key] ?? 0) + Number(value);
  };
  for (const { labels, count: value } of ledger.ofOwners()) addTo(`${labels.namespace}/${labels.pod}`, value);
  for (const { count: value } of ledger.ofNode()) addTo("node", value);
  return result;
}

test("a pod's series goes with the pod, and what it had is still the node's", () => {
  const ledger = openLedger("pod");
  ledger.update([count(1n, 10n), count(2n, 5n)], [pod("a", 1n), pod("b", 2n)]);
  assert.equal(shown(ledger), { "shop/a": 10, "shop/b": 5, node: 15 });
  // The source has dropped it, the kernel still has its counts.
  ledger.update([count(1n, 11n), count(2n, 5n)], [pod("b", 2n)]);
  assert.equal(shown(ledger), { "shop/b": 5, node: 16 });
  ledger.gone(count(1n, 12n));
  ledger.update([count(2n, 6n)], [pod("b", 2n)]);
  assert.equal(shown(ledger), { "shop/b": 6, node: 18 });
});

test("the counts of a pod that was never looked at are the node's only", () => {
  const ledger = openLedger("pod");
  ledger.gone(count(7n, 4n));
  ledger.gone(count(7n, 2n, { verdict: "bypass", reason: "excluded-port" }));
  ledger.update([], []);
  assert.equal(ledger.ofOwners(), []);
  assert.equal(
    ledger.ofNode().map(({ labels, count: value }) => `${labels.verdict} ${value}`),
    ["redirect 4", "bypass 2"],
  );
});

test("a pod that comes back under its name: from zero if it was seen to be gone, else on", () => {
  const ledger = openLedger("pod");
  ledger.update([count(1n, 10n)], [pod("web-0", 1n)]);
  ledger.gone(count(1n, 10n));
  ledger.update([count(2n, 1n)], [pod("web-0", 2n)]);
  assert.equal(shown(ledger), { "shop/web-0": 11, node: 11 });
  ledger.gone(count(2n, 1n));
  ledger.update([], []);
  assert.equal(shown(ledger), { node: 11 });
  ledger.update([count(3n, 2n)], [pod("web-0", 3n)]);
  assert.equal(shown(ledger), { "shop/web-0": 2, node: 13 });
});

test("a pod that leaves the mesh and stays on the node keeps its series", () => {
  const ledger = openLedger("pod");
  ledger.update([count(1n, 10n)], [pod("a", 1n)]);
  ledger.gone(count(1n, 10n));
  ledger.update([], [pod("a", undefined, { state: "not-enrolled" })]);
  assert.equal(shown(ledger), { "shop/a": 10, node: 10 });
  ledger.update([count(1n, 3n)], [pod("a", 1n)]);
  assert.equal(shown(ledger), { "shop/a": 13, node: 13 });
});

test("a cgroup that gets its name late: what it had stays the node's only, what comes is the pod's too", () => {
  const ledger = openLedger("pod");
  ledger.update([count(1n, 10n)], []);
  assert.equal(shown(ledger), { node: 10 });
  ledger.update([count(1n, 13n)], [pod("a", 1n)]);
  assert.equal(shown(ledger), { "shop/a": 3, node: 13 });
});

test("a workload's series lives on while one of its pods does", () => {
  const [first, second] = ["web-7d4b9c5f6d-x2k4z", "web-66b6c48dd5-bcdfg"] as const;
  const ledger = openLedger("workload");
  ledger.update([count(1n, 10n)], [pod(first, 1n)]);
  ledger.update([count(1n, 12n), count(2n, 1n)], [pod(first, 1n), pod(second, 2n)]);
  assert.equal(shown(ledger), { "shop/web": 13, node: 13 });
  // What it counted since the last scrape is not lost to its workload.
  ledger.gone(count(1n, 15n));
  ledger.update([count(2n, 2n)], [pod(second, 2n)]);
  assert.equal(shown(ledger), { "shop/web": 17, node: 17 });
  ledger.gone(count(2n, 2n));
  ledger.update([], []);
  assert.equal(shown(ledger), { node: 17 });
});

test("of a node there is one series, whoever comes and goes", () => {
  const ledger = openLedger("node");
  ledger.update([count(1n, 10n), count(2n, 5n)], [pod("a", 1n), pod("b", 2n)]);
  ledger.gone(count(1n, 10n));
  ledger.update([count(2n, 5n)], [pod("b", 2n)]);
  assert.equal(shown(ledger), { "/": 15, node: 15 });
  ledger.gone(count(2n, 6n));
  ledger.update([], []);
  assert.equal(shown(ledger), { "/": 16, node: 16 });
});

test("a map that somebody has emptied begins again", () => {
  const ledger = openLedger("pod");
  ledger.update([count(1n, 10n)], [pod("a", 1n)]);
  ledger.update([count(1n, 4n)], [pod("a", 1n)]);
  assert.equal(shown(ledger), { "shop/a": 14, node: 14 });
});

test("counts beyond what a number holds are added exactly", () => {
  const ledger = openLedger("pod");
  const large = 2n ** 53n;
  ledger.update([count(1n, large)], [pod("a", 1n)]);
  ledger.update([count(1n, large + 1n)], [pod("a", 1n)]);
  assert.is(ledger.ofOwners()[0]?.count, large + 1n);
  assert.is(ledger.ofNode()[0]?.count, large + 1n);
});

/** What may happen on a node between two scrapes. */
const event = fc.oneof(
  fc.record({ kind: fc.constant("connect" as const), pod: fc.nat(7), calls: fc.integer({ min: 1, max: 9 }) }),
  fc.record({ kind: fc.constant("start" as const), name: fc.nat(4) }),
  fc.record({ kind: fc.constant("unname" as const), pod: fc.nat(7) }),
  fc.record({ kind: fc.constant("stop" as const), pod: fc.nat(7) }),
  fc.record({ kind: fc.constant("scrape" as const) }),
);

test("whatever happens: the node has what the kernel has counted, pods that are there have series that never fall", () => {
  fc.assert(
    fc.property(fc.constantFrom<Detail>(...details), fc.array(event, { maxLength: 60 }), (detail, events) => {
      const ledger = openLedger(detail);
      const running: { id: bigint; name: string; known: boolean; calls: number }[] = [];
      let ids = 0n;
      let made = 0;
      let before: Record<string, number> = {};
      const scrape = (): void => {
        const counts = running.filter(({ calls }) => calls > 0).map(({ id, calls }) => count(id, BigInt(calls)));
        const named = running.filter(({ known }) => known).map(({ id, name }) => pod(name, id));
        ledger.update(counts, named);
        const now = shown(ledger);
        assert.is(now["node"], made);
        const { node, ...owners } = now;
        const there = new Set(
          named.map((each) => ownerOf(each, detail)).map((owner) => `${owner.namespace}/${owner.pod}`),
        );
        if (detail === "node") assert.is(owners["/"] ?? 0, node);
        else assert.ok(Object.keys(owners).every((key) => there.has(key)));
        assert.ok(Object.values(owners).reduce((sum, value) => sum + value, 0) <= made, "nothing counts twice");
        for (const [key, value] of Object.entries(now)) assert.ok(value >= (before[key] ?? 0), key);
        before = now;
      };
      for (const step of events) {
        const index = "pod" in step ? step.pod % Math.max(running.length, 1) : 0;
        const chosen = running[index];
        if (step.kind === "scrape") scrape();
        else if (step.kind === "start") running.push({ id: ++ids, name: `web-${step.name}`, known: true, calls: 0 });
        else if (chosen === undefined) continue;
        else if (step.kind === "unname") chosen.known = false;
        else if (step.kind === "connect") {
          chosen.calls += step.calls;
          made += step.calls;
        } else {
          if (chosen.calls > 0) ledger.gone(count(chosen.id, BigInt(chosen.calls)));
          running.splice(index, 1);
        }
      }
      scrape();
    }),
    { numRuns: 500 },
  );
});

test("cardinality: no more sets of series than pods on the node, and the node's one, however many there have been", () => {
  const decisions: Partial<VerdictCount>[] = directions.flatMap((direction) =>
    verdicts.flatMap((verdict) => reasons.map((reason) => ({ direction, verdict, reason }))),
  );
  assert.is(decisions.length, 138, "as connections.ts says");
  const sizes = details.map((detail) => {
    const ledger = openLedger(detail);
    for (let round = 0n; round < 20n; round++) {
      const pods = Array.from({ length: 10 }, (_, i) => {
        const id = round * 10n + BigInt(i);
        return {
          id,
          status: pod(
            `web${i % 2}-66b6c48dd5-${"bcdfghjklm"[i]}${"bcdfghjklmnpqrstvwxz"[Number(round)]}xyz`.replace("y", "z"),
            id,
          ),
        };
      });
      const counts = pods.flatMap(({ id }) => decisions.map((decision) => count(id, 1n, decision)));
      ledger.update(
        counts,
        pods.map((each) => each.status),
      );
      for (const each of counts) ledger.gone(each);
      if (round < 19n) continue;
      assert.is(ledger.ofNode().length, decisions.length);
      const total = ledger.ofNode().reduce((sum, each) => sum + each.count, 0n);
      assert.is(total, BigInt(20 * 10 * decisions.length));
    }
    return ledger.ofOwners().length / decisions.length;
  });
  assert.equal(sizes, [10, 2, 1]);
});

test.run();
