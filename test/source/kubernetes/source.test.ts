/**
 * The source against an API server: always against the double, and where KUBEBUILDER_ASSETS names one
 * against a real one as well. Both beds serve one test after the other, each test with a node of its own.
 */
import { readFileSync } from "node:fs";
import { load } from "js-yaml";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type ClusterBed, openDoubleBed } from "./clusterBed.js";
import {
  annotate,
  makePod,
  makeSidecar,
  names,
  type Opened,
  removePod,
  sidecars,
  unique,
  until,
  withSource,
} from "./kit.js";
import { assets, openRealBed } from "./realBed.js";

interface Place {
  readonly bed: ClusterBed;
  readonly node: string;
  /** Opens a source and waits until it has been read. */
  synced(use: (opened: Opened) => Promise<void>): Promise<void>;
}

const troubles = ({ source }: Opened): string[] => source.snapshot().problems.map(({ key, why }) => `${key}: ${why}`);

const cases: Readonly<Record<string, (place: Place) => Promise<void>>> = {
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

  async "Sidecars: the kind comes, under another version, and goes"({ bed, synced }) {
    await bed.serveSidecars();
    await synced(async ({ source }) => {
      assert.equal(sidecars(source), []);
      await bed.serveSidecars("v1alpha3");
      await makeSidecar(bed, "v1alpha3", "first", { egress: [{ hosts: ["./*"] }] });
      await until(() => sidecars(source).length === 1);
      const [found] = source.snapshot().documents.sidecars;
      assert.is(found?.where, "Sidecar default/first");
      const { spec, metadata } = (found?.document ?? {}) as { spec?: object; metadata?: object };
      assert.equal(spec, { egress: [{ hosts: ["./*"] }] });
      assert.not.ok("managedFields" in (metadata ?? {}));

      const one = "/apis/networking.istio.io/v1alpha3/namespaces/default/sidecars/first";
      await bed.admin(one, { delete: true });
      await until(() => sidecars(source).length === 0);
      await bed.serveSidecars("v1beta1", "v1alpha3");
      await makeSidecar(bed, "v1beta1", "second");
      await until(() => sidecars(source)[0] === "second");
      await bed.serveSidecars();
      await until(() => sidecars(source).length === 0);
    });
  },

  async "Sidecars in pages"({ bed, synced }) {
    await bed.serveSidecars("v1");
    const all = Array.from({ length: 600 }, (_, i) => `page-${`${i}`.padStart(3, "0")}`);
    for (let i = 0; i < all.length; i += 50) {
      await Promise.all(all.slice(i, i + 50).map((name) => makeSidecar(bed, "v1", name)));
    }
    await synced(async ({ source }) => {
      assert.equal(sidecars(source), all);
    });
    await bed.serveSidecars();
  },

  async "the mesh's configuration and the namespaces"({ bed, synced }) {
    const namespace = unique("space");
    const maps = "/api/v1/namespaces/istio-system/configmaps";
    const meshOf = ({ source }: Opened): unknown =>
      (source.snapshot().documents.mesh?.document as { data?: { mesh?: string } } | undefined)?.data?.mesh;
    await synced(async (opened) => {
      assert.is(opened.source.snapshot().documents.mesh, undefined);
      await bed.admin("/api/v1/namespaces", { method: "POST", body: { metadata: { name: namespace } } });
      await bed.admin(maps, { method: "POST", body: { metadata: { name: "other" }, data: { mesh: "no" } } });
      await bed.admin(maps, { method: "POST", body: { metadata: { name: "istio" }, data: { mesh: "yes" } } });
      await until(() => meshOf(opened) === "yes");
      assert.is(opened.source.snapshot().documents.mesh?.where, "ConfigMap istio-system/istio");
      const has = (): boolean =>
        opened.source.snapshot().documents.namespaces.some(({ where }) => where === `Namespace ${namespace}`);
      await until(has);
      await bed.admin(`${maps}/istio`, { delete: true });
      await until(() => meshOf(opened) === undefined);
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

  async "a problem becomes an Event of its pod, and the node's taint goes when the agent is ready"({
    bed,
    node,
    synced,
  }) {
    const name = unique("bad");
    const taints = [
      { key: "shunt.dev/agent-not-ready", effect: "NoSchedule" },
      { key: "other", effect: "NoSchedule" },
    ];
    await bed.admin("/api/v1/nodes", { method: "POST", body: { metadata: { name: node }, spec: { taints } } });
    const { uid } = await makePod(bed, { name, node });
    await synced(async ({ source, notes }) => {
      const problem = {
        kind: "annotation",
        where: "",
        pod: `default/${name}`,
        key: "k",
        value: "v",
        why: "w",
      } as const;
      source.report?.([problem]);
      source.report?.([problem]);
      source.ready?.();
      await until(() => notes.length > 0);
      assert.equal(notes, [`the taint shunt.dev/agent-not-ready was removed from node ${node}`]);
      const left = (await bed.admin(`/api/v1/nodes/${node}`)) as { spec: { taints: { key: string }[] } };
      assert.equal(left.spec.taints.map(({ key }) => key).includes("shunt.dev/agent-not-ready"), false);
      assert.ok(left.spec.taints.some(({ key }) => key === "other"));

      type Event = { involvedObject: { uid: string }; message: string };
      const events = async (): Promise<Event[]> => {
        const all = (await bed.admin("/api/v1/namespaces/default/events")) as { items: Event[] };
        return all.items.filter(({ involvedObject }) => involvedObject.uid === uid);
      };
      let found: Event[] = [];
      for (let left = 100; found.length === 0 && left > 0; left--) found = await events();
      assert.equal(
        found.map(({ message }) => message),
        ['k="v": w'],
      );
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
};

const deploy = new URL("../../../deploy/base/daemonset.yaml", import.meta.url);
/** What the double would not notice. */
const onlyReal: typeof cases = {
  async "the DaemonSet of deploy/ is one that the server accepts"({ bed }) {
    const path = "/apis/apps/v1/namespaces/shunt-system/daemonsets";
    const made = await bed.admin(path, { method: "POST", body: load(readFileSync(deploy, "utf8")) });
    const { spec } = made as { spec: { template: { spec: { containers: { securityContext: object }[] } } } };
    assert.is(Reflect.get(spec.template.spec.containers[0]?.securityContext ?? {}, "privileged"), undefined);
  },
};

const beds = [
  { name: "the double", open: openDoubleBed },
  ...(assets === "" ? [] : [{ name: "a real API server", open: openRealBed }]),
];
console.log(
  `against ${beds.map(({ name }) => name).join(" and ")}${assets === "" ? ": KUBEBUILDER_ASSETS is not set" : ""}`,
);
for (const { name: which, open } of beds) {
  const test = suite(`source on ${which}`);
  let bed: ClusterBed;
  test.before(async () => {
    bed = await open();
  });
  test.after(async () => {
    await bed.close();
  });
  const real = open === openRealBed;
  for (const [name, run] of Object.entries(real ? { ...cases, ...onlyReal } : cases)) {
    test(name, async () => {
      const node = unique("node");
      await run({
        bed,
        node,
        synced: (use) =>
          withSource(bed, { node }, async (opened) => {
            await opened.source.synced;
            await use(opened);
          }),
      });
    });
  }
  test.run();
}
