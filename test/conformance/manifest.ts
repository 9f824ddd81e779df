/** What a capture configuration looks like on a pod: the annotations and the proxy's settings that ask for it. */
import { dump, load } from "js-yaml";
import type { LabPod } from "../../src/demo/labPod.js";
import { podManifest } from "../../src/demo/manifests.js";
import { type CaptureConfig, type CniPod, split } from "./config.js";
import { podLabels } from "./sidecar.js";

/** Excluded inbound on every pod, whatever the annotations say. */
export const alwaysExcludedInbound: readonly string[] = ["15020", "15021", "15090"];

/** Every field is written, also where it is the default. Of several proxy ids a pod can tell one of each. */
export function podOf(config: CaptureConfig): CniPod {
  // Without empty items, which annotations must not have.
  const traffic = (name: string, list: string): [string, string] => [
    `traffic.sidecar.istio.io/${name}`,
    split(list).join(),
  ];
  const [uid = "1337"] = split(config.ProxyUID);
  const [gid = "1337"] = split(config.ProxyGID);
  const metadata = {
    ISTIO_META_DNS_CAPTURE: `${config.RedirectDNS && config.CaptureAllDNS}`,
    ISTIO_DUAL_STACK: `${config.EnableIPv6}`,
    ISTIO_OUTBOUND_OWNER_GROUPS: config.OwnerGroupsInclude,
    ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE: config.OwnerGroupsExclude,
    ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR: config.HostIPv4LoopbackCidr,
  };
  return {
    annotations: Object.fromEntries([
      traffic("includeOutboundIPRanges", config.OutboundIPRangesInclude),
      traffic("excludeOutboundIPRanges", config.OutboundIPRangesExclude),
      traffic("includeOutboundPorts", config.OutboundPortsInclude),
      traffic("excludeOutboundPorts", config.OutboundPortsExclude),
      traffic("includeInboundPorts", config.InboundPortsInclude),
      traffic("excludeInboundPorts", config.InboundPortsExclude),
      traffic("excludeInterfaces", config.ExcludeInterfaces),
      ["status.sidecar.istio.io/port", ""],
      ["proxy.istio.io/config", dump({ proxyMetadata: metadata })],
    ]),
    runAsUser: Number(uid),
    runAsGroup: Number(gid),
  };
}

interface Document {
  spec: {
    initContainers: { name: string; env?: { name: string; value?: string }[]; securityContext?: object }[];
  };
}

/** The pod's manifest with these settings on its proxy. */
export function manifestOf(pod: LabPod, settings: CniPod): string {
  const { namespace, name, uid, address, address6, containers } = pod;
  const { annotations, env = {}, runAsUser, runAsGroup } = settings;
  const text = podManifest({ namespace, name, uid, address, address6, annotations, containers, labels: podLabels });
  const document = load(text) as Document;
  for (const container of document.spec.initContainers) {
    if (container.name !== "istio-proxy") continue;
    container.env = [
      ...(container.env ?? []),
      ...Object.entries(env).map(([variable, value]) => ({ name: variable, value })),
    ];
    container.securityContext = {
      ...container.securityContext,
      ...(runAsUser === undefined ? {} : { runAsUser }),
      ...(runAsGroup === undefined ? {} : { runAsGroup }),
    };
  }
  return dump(document, { noRefs: true });
}
