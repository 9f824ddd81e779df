/**
 * Istio's iptables rules for a configuration, as text for iptables-restore. Written from the order in which Istio
 * documents and prints them (tools/istio-iptables/pkg/capture), and from nothing of Shunt: it is the other side of the
 * comparison. REDIRECT mode; TPROXY's marks are not made.
 */
import { type CaptureConfig, split } from "./config.js";

export type Family = 4 | 6;

interface Rule {
  readonly table: "mangle" | "nat" | "raw";
  readonly chain: string;
  /** Of `-I`; a rule without is appended. */
  readonly position?: number;
  readonly match: string;
}

const builtIn = new Set(["PREROUTING", "OUTPUT"]);
const dnsPort = "15053";

const isLoopback = (cidr: string): boolean => {
  const address = (cidr.split("/")[0] ?? "").replace(/^::ffff:(?=.*\.)/i, "");
  return address.includes(":") ? address === "::1" : address.startsWith("127.");
};

/** Everything that depends on the family alone. */
function facts(config: CaptureConfig, family: Family) {
  const suffix = family === 4 ? "/32" : "/128";
  const servers = family === 4 ? config.DNSServersV4 : config.DNSServersV6;
  const ranges = (list: string): string[] => split(list).filter((cidr) => cidr.includes(":") === (family === 6));
  const anyServer = config.CaptureAllDNS || config.DNSServersV4.length > 0 || config.DNSServersV6.length > 0;
  return {
    loopback: family === 4 ? config.HostIPv4LoopbackCidr : "::1/128",
    passthroughSource: family === 4 ? "127.0.0.6/32" : "::6/128",
    excluded: ranges(config.OutboundIPRangesExclude),
    included: config.OutboundIPRangesInclude === "*" ? ("*" as const) : ranges(config.OutboundIPRangesInclude),
    dns: config.RedirectDNS && anyServer,
    /** Match and source match of each server that is captured; one empty pair for all of them. */
    servers: config.CaptureAllDNS
      ? [{ to: "", from: "" }]
      : servers.map((server) => ({ to: ` -d ${server}${suffix}`, from: ` -s ${server}${suffix}` })),
  };
}

/** The rules of one family, in order. */
function rulesOf(config: CaptureConfig, family: Family): Rule[] {
  const { loopback, passthroughSource, excluded, included, dns, servers } = facts(config, family);
  const rules: Rule[] = [];
  const nat = (chain: string, match: string): number => rules.push({ table: "nat", chain, match });
  const output = (match: string): number => nat("ISTIO_OUTPUT", match);
  const first = (match: string): number => rules.push({ table: "nat", chain: "PREROUTING", position: 1, match });
  const reroute = split(config.RerouteVirtualInterfaces);

  for (const name of split(config.ExcludeInterfaces)) {
    nat("PREROUTING", `-i ${name} -j RETURN`);
    nat("OUTPUT", `-o ${name} -j RETURN`);
  }
  for (const name of reroute) first(`-i ${name} -j RETURN`);
  if (config.DropInvalid) {
    rules.push({ table: "mangle", chain: "PREROUTING", match: "-m conntrack --ctstate INVALID -j ISTIO_DROP" });
    rules.push({ table: "mangle", chain: "ISTIO_DROP", match: "-j DROP" });
  }

  nat("ISTIO_INBOUND", `-p tcp --dport ${config.InboundTunnelPort} -j RETURN`);
  nat("ISTIO_REDIRECT", `-p tcp -j REDIRECT --to-ports ${config.ProxyPort}`);
  nat("ISTIO_IN_REDIRECT", `-p tcp -j REDIRECT --to-ports ${config.InboundCapturePort}`);
  inbound(config, nat);

  nat("OUTPUT", "-j ISTIO_OUTPUT");
  for (const port of split(config.OutboundPortsExclude)) {
    for (const protocol of ["tcp", "udp"]) output(`-p ${protocol} --dport ${port} -j RETURN`);
  }
  output(`-o lo -s ${passthroughSource} -j RETURN`);
  const keepLocal = split(config.OutboundIPRangesInclude).some(isLoopback);
  const owners = [
    ...split(config.ProxyUID).map((id) => ({ owner: `--uid-owner ${id}`, isUser: true })),
    ...split(config.ProxyGID).map((id) => ({ owner: `--gid-owner ${id}`, isUser: false })),
  ];
  for (const { owner, isUser } of owners) {
    // The proxy's own user may ask a DNS server of the pod; a group alone is not exempt.
    const otherPorts =
      dns && isUser
        ? `-m multiport ! --dports 53,${config.InboundTunnelPort}`
        : `! --dport ${config.InboundTunnelPort}`;
    output(`-o lo ! -d ${loopback} -p tcp ${otherPorts} -m owner ${owner} -j ISTIO_IN_REDIRECT`);
    if (!keepLocal) output(`-o lo ${dns ? "-p tcp ! --dport 53 " : ""}-m owner ! ${owner} -j RETURN`);
    output(`-m owner ${owner} -j RETURN`);
  }
  if (config.OwnerGroupsInclude === "*") {
    for (const group of split(config.OwnerGroupsExclude)) output(`-m owner --gid-owner ${group} -j RETURN`);
  } else {
    const none = split(config.OwnerGroupsInclude).map((group) => `-m owner ! --gid-owner ${group} `);
    output(`${none.join("")}-j RETURN`);
  }

  if (dns) rules.push(...dnsRules(config, servers));

  output(`-d ${loopback} -j RETURN`);
  for (const cidr of excluded) output(`-d ${cidr} -j RETURN`);
  for (const port of split(config.OutboundPortsInclude)) output(`-p tcp --dport ${port} -j ISTIO_REDIRECT`);
  if (included === "*") {
    output("-j ISTIO_REDIRECT");
    for (const name of reroute) first(`-i ${name} -j ISTIO_REDIRECT`);
  } else {
    for (const cidr of included) {
      for (const name of reroute) first(`-i ${name} -d ${cidr} -j ISTIO_REDIRECT`);
      output(`-d ${cidr} -j ISTIO_REDIRECT`);
    }
  }
  return rules;
}

function inbound(config: CaptureConfig, nat: (chain: string, match: string) => number): void {
  if (config.InboundPortsInclude === "") return;
  nat("PREROUTING", "-p tcp -j ISTIO_INBOUND");
  if (config.InboundPortsInclude === "*") {
    for (const port of split(config.InboundPortsExclude)) nat("ISTIO_INBOUND", `-p tcp --dport ${port} -j RETURN`);
    nat("ISTIO_INBOUND", "-p tcp -j ISTIO_IN_REDIRECT");
  } else {
    for (const port of split(config.InboundPortsInclude)) {
      nat("ISTIO_INBOUND", `-p tcp --dport ${port} -j ISTIO_IN_REDIRECT`);
    }
  }
}

/** The redirects, and two conntrack zones that keep app → proxy and proxy → server apart where the tuples are equal. */
function dnsRules(config: CaptureConfig, servers: readonly { to: string; from: string }[]): Rule[] {
  const raw = (chain: string, match: string): Rule => ({ table: "raw", chain, match });
  const nat = (chain: string, match: string): Rule => ({ table: "nat", chain, match });
  const chain = "ISTIO_OUTPUT_DNS";
  const owners = [
    ...split(config.ProxyUID).map((id) => `--uid-owner ${id}`),
    ...split(config.ProxyGID).map((id) => `--gid-owner ${id}`),
  ];
  return [
    raw("OUTPUT", `-j ${chain}`),
    ...(servers.length > 0 ? [nat("ISTIO_OUTPUT", `-j ${chain}`)] : []),
    ...servers.map(({ to }) => nat(chain, `-p tcp --dport 53${to} -j REDIRECT --to-ports ${dnsPort}`)),
    // Istio writes the option without its s here; iptables takes both.
    ...servers.map(({ to }) => nat(chain, `-p udp --dport 53${to} -j REDIRECT --to-port ${dnsPort}`)),
    ...owners.flatMap((owner) => [
      raw(chain, `-p udp --dport 53 -m owner ${owner} -j CT --zone 1`),
      raw(chain, `-p udp --sport ${dnsPort} -m owner ${owner} -j CT --zone 2`),
    ]),
    ...(servers.length > 0 ? [raw("PREROUTING", "-j ISTIO_INBOUND")] : []),
    ...servers.flatMap(({ to, from }) => [
      raw(chain, `-p udp --dport 53${to} -j CT --zone 2`),
      raw("ISTIO_INBOUND", `-p udp --sport 53${from} -j CT --zone 1`),
    ]),
  ];
}

/** Input for iptables-restore or ip6tables-restore. Empty if the family is off. */
export function restoreInput(config: CaptureConfig, family: Family): string {
  if (family === 6 && !config.EnableIPv6) return "";
  const rules = rulesOf(config, family);
  const lines = (["mangle", "nat", "raw"] as const).flatMap((table) => {
    const own = rules.filter((rule) => rule.table === table);
    if (own.length === 0) return [];
    const chains = [...new Set(own.map((rule) => rule.chain))].filter((chain) => !builtIn.has(chain));
    return [
      `* ${table}`,
      ...chains.map((chain) => `-N ${chain}`),
      ...own.map(({ chain, position, match }) =>
        position === undefined ? `-A ${chain} ${match}` : `-I ${chain} ${position} ${match}`,
      ),
      "COMMIT",
    ];
  });
  return `${lines.join("\n")}\n`;
}

/**
 * All that a golden file of Istio holds.
 * @param commands whether the look at what is there, before and after, is in it: not where the CNI plug-in runs it.
 */
export function goldenText(config: CaptureConfig, commands: boolean): string {
  const after = `iptables-save\n${config.EnableIPv6 ? "ip6tables-save\n" : ""}`;
  const rules = restoreInput(config, 4) + restoreInput(config, 6);
  return commands ? `iptables-save\nip6tables-save\n${rules}${after}` : rules;
}
