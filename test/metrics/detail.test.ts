import { test } from "uvu";
import * as assert from "uvu/assert";
import { UsageError } from "../../src/errors.js";
import { nobody, ownerOf, parseDetail, workloadOf } from "../../src/metrics/detail.js";

const workloads: readonly [pod: string, workload: string, what: string][] = [
  ["coredns-5dd5756b68-x2k4z", "coredns", "Deployment"],
  ["my-web-app-7d4b9c5f6d-bcdfg", "my-web-app", "Deployment, dashes in its name"],
  ["web-66b6c48dd-9hxwv", "web", "Deployment, a hash of nine digits"],
  ["kube-proxy-7zqfx", "kube-proxy", "DaemonSet"],
  ["migrate-db-c7k2p", "migrate-db", "Job"],
  ["backup-28391230-x7k2p", "backup", "CronJob"],
  ["kafka-0", "kafka", "StatefulSet"],
  ["kafka-2-11", "kafka-2", "StatefulSet, a number in its name"],
  ["web", "web", "a pod of its own"],
  ["kube-apiserver-cp-node", "kube-apiserver-cp-node", "a static pod"],
  ["my-nginx-proxy", "my-nginx-proxy", "words have vowels"],
  ["web-canary-x2k4z", "web-canary", "no hash before the suffix"],
  ["web-hjklmnpq-x2k4z", "web-hjklmnpq", "letters that a hash does not have"],
  ["x2k4z", "x2k4z", "nothing would be left"],
  ["-x2k4z", "-x2k4z", "nothing would be left"],
  ["", "", "nothing"],
];
for (const [pod, workload, what] of workloads) {
  test(`${pod} is of ${workload}: ${what}`, () => assert.is(workloadOf(pod), workload));
}

test("the labels at each detail", () => {
  const pod = { namespace: "shop", name: "web-66b6c48dd5-x2k4z" };
  assert.equal(ownerOf(pod, "pod"), { namespace: "shop", pod: "web-66b6c48dd5-x2k4z" });
  assert.equal(ownerOf(pod, "workload"), { namespace: "shop", pod: "web" });
  assert.equal(ownerOf(pod, "node"), nobody);
});

test("--metrics-detail", () => {
  for (const text of ["pod", "workload", "node"] as const) assert.is(parseDetail(text), text);
  for (const text of ["", "Pod", "pods"]) {
    assert.throws(
      () => parseDetail(text),
      (error: Error) => error instanceof UsageError && error.message.endsWith("is none of pod, workload, node"),
    );
  }
});

test.run();
