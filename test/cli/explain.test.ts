/** `shunt explain` on a directory of manifests: no kernel, no agent. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { explain } from "../../src/cli/explain.js";
import { parseQuestion } from "../../src/cli/explainQuestion.js";
import { nearNames } from "../../src/cli/names.js";
import { podManifest } from "../../src/demo/manifests.js";
import { UsageError } from "../../src/errors.js";

const directory = mkdtempSync(join(tmpdir(), "shunt-explain-"));
const manifests = join(directory, "pods");
const t = (name: string): string => `traffic.sidecar.istio.io/${name}`;

function write(name: string, annotations: Record<string, string | undefined> = {}, namespace = "demo"): void {
  const text = podManifest({ namespace, name, uid: `uid-${name}`, address: "10.88.0.2", annotations });
  writeFileSync(join(manifests, `${name}.yaml`), text);
}

test.before(() => {
  mkdirSync(manifests);
  write("client", { [t("excludeOutboundPorts")]: "5000, 5001" });
  write("server");
  write("broken", { [t("excludeOutboundPorts")]: "80," });
  write("none", { "sidecar.istio.io/interceptionMode": "NONE" });
  write("plain", { "sidecar.istio.io/status": undefined });
});
test.after(() => rmSync(directory, { recursive: true }));

async function run(...args: readonly string[]): Promise<string> {
  const printed: string[] = [];
  assert.is(await explain([...args, "--manifests", manifests], (text) => printed.push(text)), 0);
  return printed.join("\n");
}

const json = async (...args: readonly string[]) => JSON.parse(await run(...args, "--json"));

async function refusal(...args: readonly string[]): Promise<string> {
  try {
    await explain(args, assert.unreachable);
  } catch (error) {
    assert.instance(error, UsageError);
    return (error as Error).message;
  }
  throw new Error("not refused");
}

test("the fields of the JSON that are fixed, in their order", async () => {
  const text = await run("--pod", "demo/client", "--to", "10.9.9.9:443", "--json");
  const fixed = `"verdict":"redirect","to":"127.0.0.1:15001","reason":"included-all","rule":"includeOutboundIPRanges *","source":"default"`;
  assert.ok(text.startsWith(`{${fixed},`), text);
  const { verdict, to, reason, rule, source, ...more } = await json("--pod", "demo/client", "--to", "10.9.9.9:5001");
  assert.equal(
    [verdict, to, reason, rule, source],
    ["bypass", null, "excluded-port", "5001", t("excludeOutboundPorts")],
  );
  assert.equal([more.pod, more.live, more.problems, more.notes], ["demo/client", false, [], []]);
  assert.is(more.considered.length, 11);
});

test("for people: the facts, then what was considered", async () => {
  assert.is(
    (await run("--pod", "demo/client", "--to", "10.9.9.9:5000"))
      .replace(/policy .*/, "policy   …")
      .split("\n")
      .slice(0, 11)
      .join("\n"),
    `pod      demo/client
asked    the application to 10.9.9.9:5000, tcp
verdict  bypass
reason   excluded-port
rule     5000
source   traffic.sidecar.istio.io/excludeOutboundPorts
policy   …

#   considered                               matched
──  ───────────────────────────────────────  ─────────
1   excluded ports: 5000,5001                yes`,
  );
});

test("who asks, how and from where", async () => {
  const asked = async (...args: string[]) => {
    const { asked: text, reason } = await json("--pod", "demo/server", ...args);
    return `${text}: ${reason}`;
  };
  assert.is(await asked("--to", "10.88.0.2:80"), "the application to 10.88.0.2:80, tcp: local-address");
  assert.is(await asked("--to", "10.88.0.2:80", "--as", "proxy"), "the proxy to 10.88.0.2:80, tcp: proxy-to-self");
  assert.is(
    await asked("--to", "10.88.0.2:80", "--as", "proxy", "--from", "127.0.0.6"),
    "the proxy to 10.88.0.2:80, tcp, from 127.0.0.6: passthrough-source",
  );
  assert.is(await asked("--to", "10.9.9.9:53", "--udp"), "the application to 10.9.9.9:53, udp: not-tcp");
  assert.is(await asked("--to", "[::1]:53"), "the application to [::1]:53, tcp: family-off");
  assert.is(await asked("--inbound", "8080"), "inbound, port 8080: included-all");
  assert.is(await asked("--inbound", "8080", "--udp"), "inbound, port 8080, udp: not-tcp");
  const [to, ids] = [
    ["--to", "10.9.9.9:80"],
    ["--uid", "1337", "--gid", "7"],
  ] as const;
  assert.is(await asked(...to, ...ids), "the application (uid 1337, gid 7) to 10.9.9.9:80, tcp: proxy");
  assert.is(
    await asked(...to, ...ids, "--proxy-identity", "cgroup"),
    "the application (uid 1337, gid 7) to 10.9.9.9:80, tcp: included-all",
  );
});

test("a pod by its uid", async () => {
  assert.is((await json("--pod", "uid-client", "--to", "10.9.9.9:5000")).reason, "excluded-port");
});

test("excluded interfaces: what was taken for granted is a note, and can be said", async () => {
  write("nic", { [t("excludeInterfaces")]: "eth1" });
  try {
    const open = await json("--pod", "demo/nic", "--to", "10.9.9.9:80");
    assert.equal([open.reason, open.assumed], ["included-all", undefined]);
    assert.match(open.notes.join(), /none of the excluded interfaces \(eth1\): --interface eth1/);
    const said = await json("--pod", "demo/nic", "--to", "10.9.9.9:80", "--interface", "eth1");
    assert.equal([said.reason, said.rule, said.source], ["excluded-interface", "eth1", t("excludeInterfaces")]);
    assert.equal([said.asked, said.notes], ["the application to 10.9.9.9:80, tcp, by eth1", []]);
    assert.is((await json("--pod", "demo/nic", "--inbound", "80", "--interface", "eth1")).reason, "excluded-interface");
  } finally {
    rmSync(join(manifests, "nic.yaml"));
  }
});

test("a pod that is not captured: why", async () => {
  const none = await json("--pod", "demo/none", "--to", "10.9.9.9:443");
  assert.equal([none.verdict, none.to, none.reason], ["bypass", null, "mode-none"]);
  assert.is(none.source, "sidecar.istio.io/interceptionMode");
  const plain = await json("--pod", "demo/plain", "--inbound", "80");
  assert.equal([plain.verdict, plain.reason, plain.source], ["bypass", "unknown-pod", "sidecar.istio.io/status"]);
  assert.match(
    await run("--pod", "demo/plain", "--inbound", "80"),
    /its proxy is not a sidecar +no\n5 +has no annotation sidecar\.istio\.io\/status +yes\n6 .* +not asked\n/,
  );
});

test("a pod with problems: they are shown, and what they mean", async () => {
  const said = await json("--pod", "demo/broken", "--to", "10.9.9.9:80");
  assert.is(said.verdict, "redirect");
  assert.is(said.problems.length, 1);
  assert.match(said.problems[0], /broken\.yaml:1 demo\/broken: .*excludeOutboundPorts="80,": .*remove the extra comma/);
  assert.match(said.notes[0], /counts as absent here.*--live/);
  assert.match(
    await run("--pod", "demo/broken", "--to", "10.9.9.9:80"),
    /\nproblem {2}.*extra comma\nnote {5}a bad value/,
  );
});

test("a Sidecar and the mesh's configuration in the same directory", async () => {
  const spec = "{egress: [{port: {number: 3306}, captureMode: NONE, hosts: ['*/*']}]}";
  const head = "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {namespace: demo, name";
  const mesh = "kind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: ";
  const files = {
    "sidecar.yaml": `${head}: mysql}\nspec: ${spec}\n`,
    "mesh.yaml": `${mesh}"outboundTrafficPolicy: {}"\n`,
  };
  const asked = () => json("--pod", "demo/server", "--to", "10.9.9.9:3306");
  try {
    writeFileSync(join(manifests, "sidecar.yaml"), files["sidecar.yaml"]);
    const passes = await asked();
    assert.equal(
      [passes.verdict, passes.reason, passes.rule, passes.source],
      ["bypass", "sidecar-none", "egress[0] port 3306, captureMode NONE", "Sidecar demo/mysql"],
    );
    assert.ok(
      passes.considered.some((step: { rule: string }) => step.rule === "ports that the Sidecar leaves alone: 3306"),
    );
    writeFileSync(join(manifests, "mesh.yaml"), files["mesh.yaml"]);
    const closed = await asked();
    assert.equal([closed.verdict, closed.reason], ["redirect", "included-all"]);
    assert.match(closed.problems.join(), /Sidecar demo\/mysql spec\.egress\[0\]\.captureMode="NONE": not honoured/);
    assert.equal(closed.notes, [], "no value of the pod is bad");
    writeFileSync(join(manifests, "sidecar.yaml"), `${head}: mysql}\nspec: {}\n`);
    assert.equal((await json("--pod", "demo/server", "--inbound", "80")).problems.length, 1);
    assert.match((await asked()).problems.join(), /Sidecar demo\/mysql spec="\{\}": says nothing/);
  } finally {
    for (const name of Object.keys(files)) rmSync(join(manifests, name), { force: true });
  }
});

test("what stands in for annotations by flag, as the agent has it", async () => {
  const flags = ["--exclude-outbound-ip-ranges", "10.96.0.1/32", "--exclude-inbound-ports", "22"];
  const api = await json("--pod", "demo/server", "--to", "10.96.0.1:443", ...flags);
  assert.equal([api.reason, api.rule], ["excluded-range", "--exclude-outbound-ip-ranges 10.96.0.1/32"]);
  assert.is((await json("--pod", "demo/server", "--inbound", "22", ...flags)).reason, "excluded-port");
  const left = await json("--pod", "demo/server", "--inbound", "22", "--exclude-namespaces", "x,demo");
  assert.match(left.rule, /namespace demo is excluded/);
  const args = ["--pod", "a/b", "--inbound", "22"];
  assert.match(await refusal(...args, "--exclude-outbound-ports", "80-90"), /--exclude-outbound-ports 80-90: a range/);
  assert.match(await refusal(...args, "--exclude-namespaces", "a,,b"), /"" is not a namespace's name/);
});

test("a pod that is not there: near names, and what could not be read", async () => {
  const args = ["--to", "10.9.9.9:80", "--manifests", manifests] as const;
  const said = await refusal("--pod", "demo/clint", ...args);
  assert.match(said, /there is no pod demo\/clint in .*; near names: demo\/client, /);
  assert.not.match(said, /damaged/);
  writeFileSync(join(manifests, "damaged.yaml"), "kind: Pod\nmetadata: [\n");
  try {
    assert.match(await refusal("--pod", "demo/clint", ...args), /near names: demo\/client.*\n.*damaged\.yaml/s);
  } finally {
    rmSync(join(manifests, "damaged.yaml"));
  }
  const empty = join(directory, "empty");
  mkdirSync(empty);
  assert.match(await refusal("--pod", "demo/a", "--to", "10.9.9.9:80", "--manifests", empty), /there are no pods/);
});

test("a directory that cannot be read", async () => {
  const said = await refusal("--pod", "demo/a", "--to", "10.9.9.9:80", "--manifests", join(directory, "nowhere"));
  assert.match(said, /--manifests .*nowhere cannot be read: ENOENT/);
});

const wrong: readonly (readonly [what: string, args: readonly string[], why: RegExp])[] = [
  ["no pod", ["--to", "10.9.9.9:80"], /--pod NAMESPACE\/NAME is needed/],
  ["no question", ["--pod", "a/b"], /either --to IP:PORT or --inbound PORT/],
  ["two questions", ["--pod", "a/b", "--to", "10.9.9.9:80", "--inbound", "80"], /either --to/],
  ["nowhere to look", ["--pod", "a/b", "--to", "10.9.9.9:80"], /--manifests DIR or --live/],
  ["no port", ["--pod", "a/b", "--to", "10.9.9.9"], /not an address and a port/],
  ["a port too large", ["--pod", "a/b", "--to", "10.9.9.9:65536"], /not an address and a port/],
  ["no address", ["--pod", "a/b", "--to", ":80"], /not an address and a port/],
  ["a name", ["--pod", "a/b", "--to", "example.org:80"], /not an address and a port/],
  ["a short form", ["--pod", "a/b", "--to", "10.9:80"], /not an address and a port/],
  ["octal", ["--pod", "a/b", "--to", "010.9.9.9:80"], /not an address and a port/],
  ["IPv6 without brackets", ["--pod", "a/b", "--to", "2001:db8::1:80"], /put the IPv6 address in brackets/],
  ["a zone", ["--pod", "a/b", "--to", "[fe80::1%eth0]:80"], /not an address and a port/],
  ["an inbound port that is none", ["--pod", "a/b", "--inbound", "http"], /--inbound http: not a port/],
  ["an inbound range", ["--pod", "a/b", "--inbound", "80-90"], /a range of ports is not supported/],
  ["somebody else", ["--pod", "a/b", "--to", "10.9.9.9:80", "--as", "root"], /it is app or proxy/],
  ["from nowhere", ["--pod", "a/b", "--to", "10.9.9.9:80", "--from", "here"], /--from here is not an IP address/],
  ["somebody inbound", ["--pod", "a/b", "--inbound", "80", "--as", "app"], /belong to --to/],
  ["a user's name", ["--pod", "a/b", "--to", "10.9.9.9:80", "--uid", "root"], /--uid root is not the number of a user/],
  ["no group", ["--pod", "a/b", "--to", "10.9.9.9:80", "--gid", "4294967295"], /is not the number of a group/],
  ["no interface", ["--pod", "a/b", "--inbound", "80", "--interface", ""], /takes the name of an interface/],
  ["from the other family", ["--pod", "a/b", "--to", "10.9.9.9:80", "--from", "::1"], /--from ::1 is not an IPv4/],
  ["another DNS", ["--pod", "a/b", "--inbound", "80", "--dns", "some"], /--dns some: all or resolv-conf/],
  ["another flag", ["--pod", "a/b", "--too", "10.9.9.9:80"], /Unknown option '--too'/],
];
for (const [what, args, why] of wrong) {
  test(`wrong usage: ${what}`, async () => {
    assert.match(await refusal(...args), why);
  });
}

test("a v4-mapped address is IPv4", () => {
  const question = parseQuestion({ to: "[::ffff:10.9.9.9]:80", udp: false });
  assert.ok(question.direction === "outbound");
  assert.is(question.destination.family, 4);
});

test("near names: nearest first, each once, at most five", () => {
  const names = ["demo/a", "demo/client", "test/client", "demo/client", "x", "y", "z", "zz"];
  assert.is(nearNames("demo/clint", names), "near names: demo/client, test/client, demo/a, x, y");
  assert.is(nearNames("demo/clint", []), "there are no pods");
});

test.run();
