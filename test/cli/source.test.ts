import { hostname } from "node:os";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { chooseSource } from "../../src/cli/source.js";
import { UsageError } from "../../src/errors.js";

test("a directory, a cluster by a file, or the cluster around", () => {
  assert.equal(chooseSource({ manifests: "/m" }, {}, false), { manifests: "/m" });
  assert.equal(chooseSource({ manifests: "/m" }, {}, true), { manifests: "/m" }, "also in a pod");
  const flags = { kubeconfig: "/k", "node-name": "n" };
  assert.equal(chooseSource(flags, { NODE_NAME: "other" }, true), { kubeconfig: "/k", node: "n" });
  assert.equal(chooseSource({}, { NODE_NAME: "n" }, true), { kubeconfig: undefined, node: "n" });
  assert.equal(chooseSource({}, {}, true), { kubeconfig: undefined, node: hostname() });
});

test("none of them, and two", () => {
  const refused = (why: RegExp) => (error: Error) => error instanceof UsageError && why.test(error.message);
  assert.throws(() => chooseSource({}, {}, false), refused(/--manifests DIR or --kubeconfig F is needed/));
  assert.throws(() => chooseSource({ manifests: "/m", kubeconfig: "/k" }, {}, false), refused(/two sources/));
});

test.run();
