/** Istio's own rules in one namespace, the same pod under Shunt in another, the same sockets in both. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { describe, openPair, type Pair } from "./compare.js";
import { goldenSubjects } from "./goldens.js";
import { allSockets, portsOf } from "./universe.js";

const subjects = goldenSubjects();
let pair: Pair;

test.before(async () => {
  pair = await openPair([...new Set(subjects.flatMap(({ config }) => portsOf(config)))]);
});
test.after(async () => {
  await pair?.close();
});

for (const subject of subjects) {
  test(`${subject.name}: every socket arrives where Istio's rules send it`, async () => {
    const { counts, disagreements } = await pair.compare(subject, allSockets(subject.config));
    assert.ok(counts.contract > 1000 && counts.shunt > 0, JSON.stringify(counts));
    assert.is(disagreements.length, 0, disagreements.slice(0, 10).map(describe).join("\n"));
  });
}

test.run();
