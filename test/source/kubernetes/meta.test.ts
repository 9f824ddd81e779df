import { test } from "uvu";
import * as assert from "uvu/assert";
import { metaOf, withoutManagedFields } from "../../../src/source/kubernetes/meta.js";

test("metadata of whatever comes", () => {
  const metadata = { uid: "u", resourceVersion: "7", namespace: "ns", name: "n", labels: {} };
  assert.equal(metaOf({ metadata }), { uid: "u", resourceVersion: "7", namespace: "ns", name: "n" });
  assert.equal(metaOf({ metadata: { resourceVersion: "8", creationTimestamp: null } })?.resourceVersion, "8");
  for (const other of [undefined, null, 5, "text", {}, { metadata: null }, { metadata: { resourceVersion: 9 } }]) {
    assert.is(metaOf(other), undefined);
  }
});

test("who set which field is left out", () => {
  const document = { kind: "Sidecar", metadata: { name: "a", managedFields: [{}] }, spec: { egress: [] } };
  assert.equal(withoutManagedFields(document), { kind: "Sidecar", metadata: { name: "a" }, spec: { egress: [] } });
});

test.run();
