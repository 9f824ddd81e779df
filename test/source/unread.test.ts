/** What a source cannot read from its start on, and what it could not read later: only the first is unread. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { InotifyEvent } from "../../src/kernel/native.js";
import type { Unread } from "../../src/model/unread.js";
import { readMeshOf, readSidecarOf } from "../../src/source/kubernetes/read.js";
import { openManifests } from "../../src/source/manifests.js";

const head = "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {namespace: shop, name";
const good = `${head}: s}\nspec: {egress: [{hosts: ['*/*']}]}\n`;
const refused = `${head}: s}\nspec: {}\n`;
const nameless = good.replace(", name: s", "");
const mesh = (value: string): string =>
  `kind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: "outboundTrafficPolicy: {mode: ${value}}"}\n`;
const pod = "kind: Pod\nmetadata: {name: p, uid: u}\n";
const damagedPod = "kind: Pod\nmetadata: [\n";
const damaged = "kind: Sidecar\nmetadata: [\n";

const show = ({ sidecars, mesh: isMesh }: Unread): string =>
  [sidecars === "all" ? "all" : [...sidecars].sort().join(), isMesh ? "mesh" : ""].filter(Boolean).join(" and ");

/** Opens a directory with one file, then writes the file again and again. @returns what is unread each time. */
function follow(...texts: readonly (string | undefined)[]): string[] {
  const directory = mkdtempSync(join(tmpdir(), "shunt-unread-"));
  const file = join(directory, "a.yaml");
  const write = (text: string | undefined): void => {
    if (text === undefined) rmSync(file, { force: true });
    else writeFileSync(file, text);
  };
  try {
    let told: (events: InotifyEvent[]) => void = () => {};
    write(texts[0]);
    const source = openManifests({
      directory,
      openInotify(onEvents) {
        told = onEvents;
        return { add: () => 1, remove() {}, unref() {}, ref() {}, close() {} };
      },
      onChange() {},
    });
    const found = texts.map((text, i) => {
      if (i > 0) {
        write(text);
        told([{ watch: 1, mask: text === undefined ? 0x200 : 0x8, name: "a.yaml" }]);
      }
      return show(source.snapshot().unread ?? { sidecars: new Set(), mesh: false });
    });
    source.close();
    return found;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test("manifests: what was bad at the start is unread until it is good or gone", () => {
  assert.equal(follow(refused, refused, good, refused), ["shop", "shop", "", ""]);
  assert.equal(follow(refused, undefined, refused), ["shop", "", ""]);
  assert.equal(follow(nameless, refused), ["all", "shop"]);
  assert.equal(follow(mesh("NO"), mesh("ALLOW_ANY"), mesh("NO")), ["mesh", "", ""]);
  assert.equal(follow(damaged, refused, good), ["all and mesh", "shop", ""]);
  assert.equal(follow("", good), ["all and mesh", ""]);
});

test("manifests: what went bad later was known before", () => {
  assert.equal(follow(good, refused), ["", ""]);
  assert.equal(follow(good, damaged, refused), ["", "", ""]);
  assert.equal(follow(undefined, refused), ["", ""]);
});

test("manifests: a damaged document that says it is a pod hides nothing else", () => {
  assert.equal(follow(damagedPod), [""]);
  assert.equal(follow(pod), [""]);
  assert.equal(follow(`${pod}---\n${damagedPod}`), [""]);
  assert.equal(follow(`${pod}---\n${damaged}`), ["all and mesh"]);
  assert.equal(follow("kind: PodList\nitems: [\n"), ["all and mesh"]);
});

test("a cluster: the same, by what was the case when everything was listed first", () => {
  const meta = { namespace: "shop", name: "s", uid: "u", resourceVersion: "1" };
  const sidecar = (spec: object) => ({ metadata: meta, spec });
  const [whole, empty] = [sidecar({ egress: [{ hosts: ["*/*"] }] }), sidecar({})];
  const first = readSidecarOf(empty, meta, undefined, true);
  assert.is(first.unread, true);
  assert.is(readSidecarOf(empty, meta, first, false).unread, true, "still the same");
  assert.is(readSidecarOf(whole, meta, first, false).unread, false);
  assert.is(readSidecarOf(empty, meta, undefined, false).unread, false, "it came later");
  const known = readSidecarOf(whole, meta, undefined, true);
  assert.equal([known.unread, readSidecarOf(empty, meta, known, false).unread], [false, false]);

  const config = (text: string) => ({ metadata: { name: "istio", namespace: "istio-system" }, data: { mesh: text } });
  const bad = readMeshOf(config("rootNamespace: 5"), meta, undefined, true);
  assert.is(bad.unread, true);
  assert.is(readMeshOf(config("rootNamespace: 6"), meta, bad, false).unread, true);
  assert.is(readMeshOf(config("{}"), meta, bad, false).unread, false);
  assert.is(readMeshOf(config("rootNamespace: 5"), meta, undefined, false).unread, false);
});

test.run();
