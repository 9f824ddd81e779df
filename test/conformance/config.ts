/**
 * A capture configuration of Istio: what its rule generator is given (`config.Config` of
 * tools/istio-iptables/pkg/config), with Istio's names. Lists are text, separated by commas, as the flags take them.
 */
export interface CaptureConfig {
  readonly ProxyPort: string;
  readonly InboundCapturePort: string;
  readonly InboundTunnelPort: string;
  readonly ProxyUID: string;
  readonly ProxyGID: string;
  readonly InboundPortsInclude: string;
  readonly InboundPortsExclude: string;
  readonly OutboundPortsInclude: string;
  readonly OutboundPortsExclude: string;
  readonly OutboundIPRangesInclude: string;
  readonly OutboundIPRangesExclude: string;
  readonly OwnerGroupsInclude: string;
  readonly OwnerGroupsExclude: string;
  readonly ExcludeInterfaces: string;
  readonly RerouteVirtualInterfaces: string;
  readonly HostIPv4LoopbackCidr: string;
  readonly RedirectDNS: boolean;
  readonly CaptureAllDNS: boolean;
  readonly DNSServersV4: readonly string[];
  readonly DNSServersV6: readonly string[];
  readonly EnableIPv6: boolean;
  readonly DropInvalid: boolean;
}

/** Nothing is captured: what the fields are when nobody sets them, and the ports and ids of every mesh. */
export const baseConfig: CaptureConfig = {
  ProxyPort: "15001",
  InboundCapturePort: "15006",
  InboundTunnelPort: "15008",
  ProxyUID: "1337",
  ProxyGID: "1337",
  InboundPortsInclude: "",
  InboundPortsExclude: "",
  OutboundPortsInclude: "",
  OutboundPortsExclude: "",
  OutboundIPRangesInclude: "",
  OutboundIPRangesExclude: "",
  OwnerGroupsInclude: "*",
  OwnerGroupsExclude: "",
  ExcludeInterfaces: "",
  RerouteVirtualInterfaces: "",
  HostIPv4LoopbackCidr: "127.0.0.1/32",
  RedirectDNS: false,
  CaptureAllDNS: false,
  DNSServersV4: [],
  DNSServersV6: [],
  EnableIPv6: false,
  DropInvalid: false,
};

/** As Istio reads a list: empty items are dropped. */
export function split(list: string): string[] {
  return list.split(",").filter((item) => item !== "");
}

/** What Istio's CNI plug-in is told of a pod. */
export interface CniPod {
  readonly annotations: Readonly<Record<string, string>>;
  /** Of the proxy's container. */
  readonly env?: Readonly<Record<string, string>>;
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
}

const statusPort = "15020";
const alwaysExcludedInbound = [statusPort, "15021", "15090"];

/** The configuration that the CNI plug-in makes of a pod (cni/pkg/plugin/sidecar_redirect.go). DNS is captured whatever the server. */
export function cniConfig({ annotations, env = {}, runAsUser, runAsGroup }: CniPod): CaptureConfig {
  const traffic = (name: string, otherwise: string): string =>
    annotations[`traffic.sidecar.istio.io/${name}`] ?? otherwise;
  const inboundExcluded = [...split(traffic("excludeInboundPorts", statusPort).trim()), ...alwaysExcludedInbound];
  const dns = env["ISTIO_META_DNS_CAPTURE"] === "true";
  return {
    ...baseConfig,
    // Nobody runs the proxy as root there: 0 is taken for unset.
    ProxyUID: `${runAsUser || 1337}`,
    ProxyGID: `${runAsGroup || 1337}`,
    InboundPortsInclude: traffic("includeInboundPorts", "*"),
    InboundPortsExclude: [...new Set(inboundExcluded)].join(),
    OutboundPortsInclude: traffic("includeOutboundPorts", ""),
    OutboundPortsExclude: traffic("excludeOutboundPorts", statusPort),
    OutboundIPRangesInclude: traffic("includeOutboundIPRanges", "*"),
    OutboundIPRangesExclude: traffic("excludeOutboundIPRanges", ""),
    ExcludeInterfaces: traffic("excludeInterfaces", ""),
    RerouteVirtualInterfaces: annotations["istio.io/reroute-virtual-interfaces"] ?? traffic("kubevirtInterfaces", ""),
    RedirectDNS: dns,
    CaptureAllDNS: dns,
    EnableIPv6: env["ISTIO_DUAL_STACK"] === "true",
  };
}
