/** The documents of the bench `compile`: 1,000 pods and 200 Sidecars of 50 rules each, no two alike. */
import { dump } from "js-yaml";
import { podManifest } from "../../src/demo/manifests.js";

export const podsWanted = 1000;
export const sidecarsWanted = 200;
const namespaces = 100;

function list<T>(count: number, item: (i: number) => T): T[] {
  return Array.from({ length: count }, (_, i) => item(i));
}

/** 25 ports and 25 ranges. @param edition another one has other ports. */
export function podDocument(i: number, edition = 0): string {
  const ports = list(25, (k) => 1024 + ((i * 25 + edition * 7 + k) % 60_000));
  const ranges = list(25, (k) => `${20 + (i % 200)}.${Math.trunc(i / 200)}.${(k * 101) % 256}.0/24`);
  return podManifest({
    namespace: `ns-${i % namespaces}`,
    name: `pod-${i}`,
    uid: `7d0a7c1e-0000-4000-8000-${String(i).padStart(12, "0")}`,
    address: `10.200.${i >> 8}.${i & 255}`,
    labels: { half: `${Math.trunc(i / namespaces) % 2}` },
    annotations: {
      "traffic.sidecar.istio.io/excludeOutboundPorts": ports.join(","),
      "traffic.sidecar.istio.io/excludeOutboundIPRanges": ranges.join(","),
    },
  });
}

/** Two a namespace, of 50 listeners each: one for half of the pods, one for the others. Every second listener is NONE. */
export function sidecarDocument(i: number): string {
  const captureMode = (k: number): string => (k % 2 === 0 ? "NONE" : "IPTABLES");
  const port = (k: number) => ({ number: 2000 + i * 50 + k, protocol: "TCP", name: `tcp-${k}` });
  return dump({
    apiVersion: "networking.istio.io/v1",
    kind: "Sidecar",
    metadata: { name: `sidecar-${i}`, namespace: `ns-${i % namespaces}` },
    spec: {
      ...(i < namespaces ? {} : { workloadSelector: { labels: { half: "1" } } }),
      ingress: list(25, (k) => ({
        port: port(k),
        defaultEndpoint: `127.0.0.1:${8000 + k}`,
        captureMode: captureMode(k),
      })),
      egress: list(25, (k) => ({ port: port(25 + k), hosts: ["*/*"], captureMode: captureMode(k) })),
    },
  });
}
