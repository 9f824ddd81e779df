import { test } from "uvu";
import * as assert from "uvu/assert";
import { ApiError } from "../../../src/source/kubernetes/client.js";
import { locateSidecars } from "../../../src/source/kubernetes/sidecars.js";
import { fakeClient } from "./fakeClient.js";

const group = "/apis/networking.istio.io";
const { signal } = new AbortController();

/** @param served version → resources, the preferred version first. */
function locate(served: Readonly<Record<string, readonly string[]>>): Promise<string | undefined> {
  const versions = Object.keys(served).map((version) => ({ version }));
  const client = fakeClient(({ path }) => {
    if (path === group && versions.length > 0)
      return { versions: versions.toReversed(), preferredVersion: versions[0] };
    const resources = served[path.slice(group.length + 1)];
    if (resources === undefined) throw new ApiError(404, "NotFound", "not found");
    return { resources: resources.map((name) => ({ name })) };
  });
  return locateSidecars(client, 1000)(signal);
}

test("the version that the server prefers, if it has Sidecars, else another", async () => {
  assert.is(await locate({ v1: ["gateways", "sidecars"], v1beta1: ["sidecars"] }), `${group}/v1/sidecars`);
  assert.is(await locate({ v1: ["gateways"], v1alpha3: ["sidecars"] }), `${group}/v1alpha3/sidecars`);
});

test("none if the group or the kind is not there", async () => {
  assert.is(await locate({}), undefined);
  assert.is(await locate({ v1: ["gateways"] }), undefined);
});

test("a refusal is not an absence", async () => {
  const client = fakeClient(() => {
    throw new ApiError(403, "Forbidden", "no");
  });
  const asked = locateSidecars(
    client,
    1000,
  )(signal).then(
    () => "",
    ({ message }: Error) => message,
  );
  assert.is(await asked, "no");
});

test.run();
