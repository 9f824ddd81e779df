import { test } from "uvu";
import * as assert from "uvu/assert";
import { findOrigin } from "../../src/cli/explainAsked.js";
import { UsageError } from "../../src/errors.js";
import { defaultMesh } from "../../src/model/mesh.js";
import type { Snapshot } from "../../src/model/pod.js";
import { pod } from "../policy/kit.js";
import { traffic } from "./agentHere.js";

const web = pod({
  annotations: { [traffic("excludeOutboundPorts")]: "22, 443", [traffic("excludeInterfaces")]: "net1" },
});
const snapshot: Snapshot = { pods: [web], sidecars: [], mesh: defaultMesh, problems: [], complete: true };
const name = `${web.namespace}/${web.name}`;
const ask = (query: Record<string, string>) =>
  findOrigin(snapshot, { excludeNamespaces: [] }, new URLSearchParams({ pod: name, to: "10.9.9.9:443", ...query }));

test("a reason of the kernel's in the words of who wrote it", () => {
  assert.equal(ask({ reason: "excluded-port" }), { rule: "443", source: traffic("excludeOutboundPorts") });
  assert.equal(ask({ reason: "excluded-port", pod: web.uid }), {
    rule: "443",
    source: traffic("excludeOutboundPorts"),
  });
  assert.equal(ask({ reason: "included-all" }), { rule: "includeOutboundIPRanges *", source: "default" });
  assert.equal(ask({ reason: "excluded-interface" }), { rule: "net1", source: traffic("excludeInterfaces") });
  assert.is(ask({ reason: "local-address" }), null, "nobody writes that");
});

test("what cannot be asked", () => {
  for (const query of [{ reason: "because" }, { reason: "loopback", pod: "a/b" }, { reason: "loopback", to: "x" }])
    assert.throws(
      () => ask(query),
      (error: unknown) => error instanceof UsageError,
    );
});

test.run();
