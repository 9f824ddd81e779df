/** Pods as they come, change and go. */
import * as assert from "uvu/assert";
import { type Cases, troubles } from "./cases.js";
import { annotate, makePod, names, removePod, unique, until, withSource } from "./kit.js";

export const podCases: Cases = {
  async "the node's own pods, and nothing before everything was read"({ bed, node, synced }) {
    const [mine, other] = [unique("mine"), unique("other")];
    const { uid } = await makePod(bed, { name: mine, node, labels: { app: "shop" }, annotations: { a: "b" } });
    await makePod(bed, { name: other, node: `${node}-other` });
    await synced(async ({ source }) => {
      assert.ok(source.snapshot().complete);
      assert.equal(names(source), [mine]);
      const [pod] = source.snapshot().pods;
      assert.is(pod?.uid, uid);
      assert.is(pod?.labels.get("app"), "shop");
      assert.is(pod?.annotations.get("a"), "b");
      assert.is(source.snapshot(), source.snapshot(), "nothing changed");
    });
  },

  async "pods come, change and go"({ bed, node, synced }) {
    const [a, b] = [unique("a"), unique("b")];
    await makePod(bed, { name: a, node });
    await synced(async ({ source }) => {
      const [before] = source.snapshot().pods;
      await makePod(bed, { name: b, node });
      await until(() => names(source).includes(b));
      assert.is(source.snapshot().pods[0], before, "a pod that did not change is the same object");
      await annotate(bed, a, { edited: "yes" });
      await until(() => source.snapshot().pods[0]?.annotations.get("edited") === "yes");
      await removePod(bed, a);
      await until(() => !names(source).includes(a));
      assert.equal(names(source), [b]);
    });
  },

  async "a pod that was made again under the same name is another one"({ bed, node, synced }) {
    const name = unique("again");
    const first = await makePod(bed, { name, node });
    await synced(async (opened) => {
      await removePod(bed, name);
      const second = await makePod(bed, { name, node });
      assert.is.not(first.uid, second.uid);
      await until(() => opened.source.snapshot().pods[0]?.uid === second.uid);
      assert.equal(names(opened.source), [name]);

      // Also if nobody was told of the end of the first.
      bed.wire.mode = "refuse";
      bed.wire.cut();
      await removePod(bed, name);
      const third = await makePod(bed, { name, node });
      await bed.forgetHistory();
      bed.wire.mode = "pass";
      await until(
        () => opened.source.snapshot().pods[0]?.uid === third.uid,
        () => troubles(opened),
      );
      assert.equal(names(opened.source), [name]);
    });
  },

  async "250 pods"({ bed, node, synced }) {
    const all = Array.from({ length: 250 }, (_, i) => unique(`many-${`${i}`.padStart(3, "0")}`));
    await Promise.all(all.map((name) => makePod(bed, { name, node })));
    await synced(async ({ source }) => {
      assert.is(source.snapshot().pods.length, 250);
      await Promise.all(all.map((name) => removePod(bed, name)));
      await until(() => source.snapshot().pods.length === 0);
    });
  },

  async "what other nodes run is not sent: hundreds of pods before, and while the source watches"({ bed, node }) {
    const mine = unique("mine");
    const elsewhere = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i += 25) {
        await Promise.all(
          Array.from({ length: 25 }, (_, j) => makePod(bed, { name: unique("elsewhere"), node: `${node}-${i + j}` })),
        );
      }
    };
    await elsewhere(300);
    await makePod(bed, { name: mine, node });
    const heard: string[] = [];
    await withSource(bed, { node, heard: (text) => heard.push(text) }, async ({ source }) => {
      await source.synced;
      assert.equal(names(source), [mine]);
      await elsewhere(300);
      // Versions are one sequence: whoever has this edit has passed by all of those.
      await annotate(bed, mine, { last: "yes" });
      await until(() => source.snapshot().pods[0]?.annotations.get("last") === "yes");
      assert.equal(names(source), [mine]);
    });
    assert.ok(heard.some((text) => text.includes(mine)));
    assert.not.ok(heard.some((text) => text.includes("elsewhere")));
  },
};
