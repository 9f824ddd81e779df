import { test } from "uvu";
import * as assert from "uvu/assert";
import { formatPrefix } from "../../src/model/address.js";
import { describeProblem } from "../../src/model/problem.js";
import { type ReadSettings, readSettings } from "../../src/policy/annotations.js";
import { data, defaults, type PodChanges, pod, ranges } from "./kit.js";

const traffic = (name: string): string => `traffic.sidecar.istio.io/${name}`;
const statusPort = "status.sidecar.istio.io/port";
const loopbackVariable = "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR";

function read(changes: PodChanges = {}): ReadSettings {
  return readSettings(pod(changes));
}

const said = (result: ReadSettings): string[] => result.problems.map(describeProblem);
const inbound = (result: ReadSettings): number[] =>
  [...new Set(result.settings.excludeInboundPorts)].sort((a, b) => a - b);

test("without annotations Istio's defaults hold", () => {
  const { settings, problems, bad } = read();
  assert.equal(settings, { ...defaults, excludeInboundPorts: [15020, 15021, 15090, 15020] });
  assert.equal([problems, bad], [[], false]);
});

test("each annotation is read", () => {
  const { settings, bad } = read({
    annotations: {
      [traffic("includeOutboundIPRanges")]: "10.0.0.0/8,fd00::/8",
      [traffic("excludeOutboundIPRanges")]: "10.1.0.0/16",
      [traffic("includeOutboundPorts")]: "3306, 443",
      [traffic("excludeOutboundPorts")]: "9200",
      [traffic("includeInboundPorts")]: "8080",
      [traffic("excludeInboundPorts")]: "9999",
    },
  });
  assert.is(bad, false);
  assert.equal(settings.includeOutboundRanges, ranges("10.0.0.0/8,fd00::/8"));
  assert.equal(settings.excludeOutboundRanges, ranges("10.1.0.0/16"));
  assert.equal(settings.includeOutboundPorts, [3306, 443]);
  assert.equal(settings.excludeOutboundPorts, [9200], "15020 is replaced, not merged");
  assert.equal(settings.includeInboundPorts, [8080]);
  assert.ok(settings.excludeInboundPorts.includes(9999));
});

test("an empty value is not an absent one", () => {
  const { settings, bad } = read({
    annotations: {
      [traffic("includeOutboundIPRanges")]: "",
      [traffic("excludeOutboundPorts")]: "",
      [traffic("includeInboundPorts")]: "",
    },
  });
  assert.is(bad, false);
  assert.equal(
    [settings.includeOutboundRanges, settings.excludeOutboundPorts, settings.includeInboundPorts],
    [[], [], []],
  );
});

test("the status port is excluded inbound unless it is 0 or empty", () => {
  assert.equal(inbound(read({ annotations: { [statusPort]: "123" } })), [123, 15020, 15021, 15090]);
  assert.equal(inbound(read({ annotations: { [statusPort]: "0" } })), [15020, 15021, 15090]);
  assert.equal(inbound(read({ annotations: { [statusPort]: "" } })), [15020, 15021, 15090]);
});

test("a bad value is reported, counts as absent, and marks the settings", () => {
  const table: [string, string, RegExp][] = [
    [traffic("includeOutboundIPRanges"), "10.0.0.0/8,bad", /="10.0.0.0\/8,bad": "bad": the mask is missing/],
    [traffic("excludeOutboundIPRanges"), "*", /="\*": \* is not accepted here/],
    [traffic("includeOutboundPorts"), "80,", /="80,": "": an empty item/],
    [traffic("excludeOutboundPorts"), "80-90", /="80-90": a range of ports/],
    [traffic("includeInboundPorts"), " * ", /must stand alone/],
    [traffic("excludeInboundPorts"), "*", /\* is not accepted here/],
    [statusPort, "status", /not a port/],
    [statusPort, "80,81", /not a port/],
    ["sidecar.istio.io/interceptionMode", "redirect", /must be REDIRECT, TPROXY or NONE/],
    ["proxy.istio.io/config", "{", /not YAML/],
    ["proxy.istio.io/config", "- a", /not a YAML mapping/],
    ["proxy.istio.io/config", "proxyMetadata: [a]", /proxyMetadata is not a YAML mapping/],
    [
      "proxy.istio.io/config",
      "proxyMetadata:\n  ISTIO_META_DNS_CAPTURE: true",
      /ISTIO_META_DNS_CAPTURE is not text: put it in quotes/,
    ],
  ];
  for (const [key, value, why] of table) {
    const result = read({ annotations: { [key]: value } });
    assert.is(result.problems.length, 1, key);
    assert.is(result.bad, true);
    assert.match(said(result)[0] ?? "", why);
    const [problem] = result.problems;
    assert.equal([problem?.kind, problem?.where, problem?.pod, problem?.key], ["annotation", "p.yaml:1", "ns/p", key]);
    assert.equal({ ...result.settings, excludeInboundPorts: inbound(result) }, defaults);
  }
});

test("a bad value leaves the other annotations in force", () => {
  const { settings, problems } = read({
    annotations: { [traffic("excludeOutboundPorts")]: "x", [traffic("excludeOutboundIPRanges")]: "10.0.0.0/8" },
  });
  assert.is(problems.length, 1);
  assert.equal(settings.excludeOutboundRanges, ranges("10.0.0.0/8"));
  assert.equal(settings.excludeOutboundPorts, [15020]);
});

test("a value that is not text is bad too, but was reported with the document", () => {
  const result = read({ annotations: { [traffic("excludeOutboundPorts")]: 5000 } });
  assert.equal([result.bad, result.problems], [true, []]);
  assert.is(read({ annotations: { "example.com/other": 5000 } }).bad, false);
});

test("a long value is cut", () => {
  const [problem] = read({ annotations: { [traffic("includeOutboundPorts")]: `${"80,".repeat(1000)}x` } }).problems;
  assert.ok((problem?.value.length ?? 0) < 120);
});

test("the proxy's ids: unset or 0 is 1337", () => {
  const ids = (securityContext: unknown, spec?: Record<string, unknown>): number[] => {
    const { settings } = read({ proxy: { securityContext }, ...(spec === undefined ? {} : { spec }) });
    return [settings.proxyUid, settings.proxyGid];
  };
  assert.equal(ids(undefined), [1337, 1337]);
  assert.equal(ids({ runAsUser: 1000670000, runAsGroup: 1000670001 }), [1000670000, 1000670001]);
  assert.equal(ids({ runAsUser: 0, runAsGroup: 1337 }), [1337, 1337]);
  assert.equal(ids({ runAsGroup: 7 }), [1337, 7]);
});

test("the proxy's ports come from istio-validation, else istio-init, in any form that pflag takes", () => {
  const ports = (...containers: { name: string; args: string[] }[]): number[] => {
    const { settings } = read({ spec: { initContainers: containers } });
    return [settings.outboundPort, settings.inboundPort];
  };
  const init = (...args: string[]) => ({ name: "istio-init", args: ["istio-iptables", ...args] });
  assert.equal(ports(), [15001, 15006]);
  assert.equal(ports(init("-p", "1", "-z", "2")), [1, 2]);
  assert.equal(ports(init("-p1", "-z=2")), [1, 2]);
  assert.equal(ports(init("--envoy-port", "1", "--inbound-capture-port=2")), [1, 2]);
  assert.equal(ports(init("-p", "1", "-p", "3")), [3, 15006]);
  assert.equal(
    ports(init("-x", "-p", "-n", "-z", "2")),
    [15001, 2],
    "another flag's value is no flag, but -n has none",
  );
  assert.equal(ports(init("--", "-p", "1")), [15001, 15006]);
  assert.equal(ports(init("-p", "1"), { name: "istio-validation", args: ["-p", "9"] }), [9, 15006]);
  assert.equal(ports({ name: "other", args: ["-p", "9"] }), [15001, 15006]);
});

test("a bad port of the proxy is reported", () => {
  for (const [args, why] of [
    [["-p", "envoy"], /not a port: decimal digits/],
    [["-p", "0"], /1 to 65535/],
    [["-p"], /empty item/],
  ] as const) {
    const result = read({ spec: { initContainers: [{ name: "istio-init", args }] } });
    assert.is(result.settings.outboundPort, 15001);
    assert.equal([result.bad, result.problems.length, result.problems[0]?.kind], [true, 1, "pod"]);
    assert.match(said(result)[0] ?? "", /istio-init args -p/);
    assert.match(said(result)[0] ?? "", why);
  }
});

test("the loopback range: annotation, else environment, else 127.0.0.1/32", () => {
  const config = (value: string) => ({ "proxy.istio.io/config": `proxyMetadata:\n  ${loopbackVariable}: ${value}\n` });
  const env = { env: [{ name: loopbackVariable, value: "127.0.0.0/16" }] };
  const range = (changes: PodChanges): string => formatPrefix(read(changes).settings.loopback);
  assert.is(range({}), "127.0.0.1/32");
  assert.is(range({ proxy: env }), "127.0.0.0/16");
  assert.is(range({ annotations: config("127.0.0.0/8") }), "127.0.0.0/8");
  assert.is(range({ annotations: config("127.1.2.3/8"), proxy: env }), "127.0.0.0/8");
  for (const value of ["10.0.0.0/8", "126.0.0.0/7", "127.0.0.0/7", "::1/128", "127.0.0.1", "loopback"]) {
    const result = read({ annotations: config(value), proxy: env });
    assert.is(formatPrefix(result.settings.loopback), "127.0.0.0/16", value);
    assert.equal([result.bad, result.problems.length], [true, 1], value);
    assert.match(said(result)[0] ?? "", /proxy.istio.io\/config ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR/);
  }
  const bad = read({ proxy: { env: [{ name: loopbackVariable, value: "x" }] } });
  assert.equal([formatPrefix(bad.settings.loopback), bad.bad], ["127.0.0.1/32", true]);
});

test("an empty proxy config is fine", () => {
  for (const text of ["", "{}", "concurrency: 2", "proxyMetadata:", "# nothing"]) {
    assert.is(read({ annotations: { "proxy.istio.io/config": text } }).bad, false, text);
  }
});

test("the pods of Istio's own cases have the ids and the kept loopback of its golden rules", () => {
  const { cases } = JSON.parse(data("cases.json"));
  const read = (name: string): ReadSettings => {
    const { annotations, runAsUser, runAsGroup } = cases[name];
    return readSettings(pod({ annotations, proxy: { securityContext: { runAsUser, runAsGroup } } }));
  };
  assert.is(read("cni-custom-uid").settings.proxyUid, 1000670000);
  assert.is(read("cni-custom-uid").settings.proxyGid, 1000670001);
  assert.is(read("cni-custom-uid-zero").settings.proxyUid, 1337);
  assert.equal(read("cni-include-exclude-ip").settings.includeOutboundRanges, [
    { ...ranges("127.0.0.0/8")[0], loopback: true },
  ]);
});

test.run();
