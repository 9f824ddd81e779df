/** What happens between the source and the server. */
import * as assert from "uvu/assert";
import { type Cases, troubles } from "./cases.js";
import { makePod, names, removePod, unique, until, withSource } from "./kit.js";

export const networkCases: Cases = {
  async "a server that is away changes nothing, and what it missed comes later"({ bed, node, synced }) {
    const [a, b] = [unique("a"), unique("b")];
    await makePod(bed, { name: a, node });
    await synced(async (opened) => {
      const { source } = opened;
      const [before] = source.snapshot().pods;
      bed.wire.mode = "refuse";
      bed.wire.cut();
      await until(
        () => troubles(opened).length === 4,
        () => troubles(opened),
      );
      assert.match(troubles(opened)[0] ?? "", /^pods: .*: what is known of them stays as it is$/);
      assert.is(source.snapshot().pods[0], before);
      assert.ok(source.snapshot().complete, "it was read once");
      await makePod(bed, { name: b, node });
      await removePod(bed, a);
      await bed.restart();
      assert.equal(names(source), [a]);
      bed.wire.mode = "pass";
      await until(() => names(source).includes(b) && !names(source).includes(a));
      await until(
        () => troubles(opened).length === 0,
        () => troubles(opened),
      );
    });
  },

  async "a watch that is half-open ends by the source's own clock"({ bed, node, synced }) {
    const [a, b] = [unique("a"), unique("b")];
    await makePod(bed, { name: a, node });
    await synced(async ({ source }) => {
      bed.wire.mode = "hold";
      await makePod(bed, { name: b, node });
      // The connections that were held stay dead.
      setTimeout(() => {
        bed.wire.mode = "pass";
      }, 300);
      await until(() => names(source).includes(b));
    });
  },

  async "a server that was never there: nothing is told until it comes"({ bed, node }) {
    const name = unique("late");
    bed.wire.mode = "refuse";
    await makePod(bed, { name, node });
    await withSource(bed, { node }, async (opened) => {
      const { source } = opened;
      await until(
        () => troubles(opened).length === 4,
        () => troubles(opened),
      );
      assert.match(troubles(opened)[0] ?? "", /nothing is changed until they have been read$/);
      assert.not.ok(source.snapshot().complete);
      assert.equal(source.snapshot().pods, []);
      bed.wire.mode = "pass";
      await source.synced;
      assert.equal(names(source), [name]);
    });
  },

  async "a slow network"({ bed, node }) {
    const name = unique("slow");
    bed.wire.delay = 100;
    try {
      await withSource(bed, { node }, async ({ source }) => {
        await source.synced;
        await makePod(bed, { name, node });
        await until(() => names(source).includes(name));
      });
    } finally {
      bed.wire.delay = 0;
    }
  },

  async "a history that the server forgot is read again"({ bed, node, synced }) {
    const [a, b, c] = [unique("a"), unique("b"), unique("c")];
    await makePod(bed, { name: a, node });
    await makePod(bed, { name: b, node });
    await synced(async (opened) => {
      const { source } = opened;
      const kept = source.snapshot().pods.find(({ name }) => name === b);
      bed.wire.mode = "refuse";
      bed.wire.cut();
      await removePod(bed, a);
      await makePod(bed, { name: c, node });
      await bed.forgetHistory();
      bed.wire.mode = "pass";
      await until(
        () => names(source).includes(c) && !names(source).includes(a),
        () => troubles(opened),
      );
      assert.is(
        source.snapshot().pods.find(({ name }) => name === b),
        kept,
        "the same object as before the list",
      );
    });
  },

  async "rights that are taken away and given back"({ bed, node, synced }) {
    const [a, b] = [unique("a"), unique("b")];
    await makePod(bed, { name: a, node });
    try {
      await synced(async (opened) => {
        await bed.forbid("pods");
        bed.wire.cut();
        await until(
          () => troubles(opened).some((text) => /^pods: .*forbidden/.test(text)),
          () => troubles(opened),
        );
        await makePod(bed, { name: b, node });
        assert.equal(names(opened.source), [a]);
        await bed.allow();
        await until(
          () => names(opened.source).includes(b),
          () => troubles(opened),
        );
        await until(
          () => troubles(opened).length === 0,
          () => troubles(opened),
        );
      });
    } finally {
      await bed.allow();
    }
  },

  async "a new token is used once the old one is worth nothing"({ bed, node, synced }) {
    const [a, b] = [unique("a"), unique("b")];
    await makePod(bed, { name: a, node });
    await synced(async ({ source }) => {
      await bed.rotateToken();
      bed.wire.cut();
      await makePod(bed, { name: b, node });
      await until(() => names(source).includes(b));
    });
  },

  async "an authority that is replaced: its file is read again"({ bed, node, synced }) {
    const [a, b] = [unique("a"), unique("b")];
    await makePod(bed, { name: a, node });
    await synced(async (opened) => {
      const trust = await bed.rotateAuthority();
      bed.wire.cut();
      await until(
        () => troubles(opened).some((text) => /^pods: .*certificate/.test(text)),
        () => troubles(opened),
      );
      await makePod(bed, { name: b, node });
      assert.equal(names(opened.source), [a], "a server that cannot prove who it is tells nothing");
      trust();
      await until(
        () => names(opened.source).includes(b),
        () => troubles(opened),
      );
      await until(
        () => troubles(opened).length === 0,
        () => troubles(opened),
      );
    });
  },
};
