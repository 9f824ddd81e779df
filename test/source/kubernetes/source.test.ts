/** What the source reads and writes, on each kind of API server. */
import { readFileSync } from "node:fs";
import { load } from "js-yaml";
import * as assert from "uvu/assert";
import type { Cases } from "./cases.js";
import { clusterCases } from "./clusterCases.js";
import { podCases } from "./podCases.js";
import { onServers } from "./suite.js";

const deploy = new URL("../../../deploy/base/daemonset.yaml", import.meta.url);
const onlyReal: Cases = {
  async "the DaemonSet of deploy/ is one that the server accepts"({ bed }) {
    const path = "/apis/apps/v1/namespaces/shunt-system/daemonsets";
    const made = await bed.admin(path, { method: "POST", body: load(readFileSync(deploy, "utf8")) });
    const { spec } = made as { spec: { template: { spec: { containers: { securityContext: object }[] } } } };
    assert.is(Reflect.get(spec.template.spec.containers[0]?.securityContext ?? {}, "privileged"), undefined);
  },
};

onServers("source", { ...podCases, ...clusterCases }, onlyReal);
