/** What the source reads beside pods, and what it writes. */
import * as assert from "uvu/assert";
import type { Cases } from "./cases.js";
import { makePod, makeSidecar, type Opened, sidecars, unique, until } from "./kit.js";

export const clusterCases: Cases = {
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
      for (const end = Date.now() + 60_000; found.length === 0 && Date.now() < end; ) found = await events();
      assert.equal(
        found.map(({ message }) => message),
        ['k="v": w'],
      );
    });
  },
};
