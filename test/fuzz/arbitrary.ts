/** Documents for the fuzz: such as people write, with values of any type in any place, and such as nobody should. */
import fc from "fast-check";
import { dump } from "js-yaml";

/** Whole files, as bytes: what they say is not always text. */
export type Bytes = Uint8Array;

const scalar = fc.oneof(
  fc.string({ unit: "binary", maxLength: 12 }),
  fc.constantFrom(
    "",
    " ",
    "*",
    "~",
    "null",
    "80",
    "80,",
    "10.0.0.0/8",
    "::/0",
    "NONE",
    "true",
    "\u0000",
    "\ufeff",
    "a\r\nb",
  ),
  fc.constantFrom("__proto__", "constructor", "toString", "hasOwnProperty", "kind", "metadata", "../../etc"),
  fc.integer(),
  fc.double(),
  fc.boolean(),
  fc.constant(null),
  fc.integer({ min: 300, max: 5000 }).map((length) => "x".repeat(length)),
);
const anything = fc.oneof({ weight: 4, arbitrary: scalar }, { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 4 }) });

/** What belongs there, most of the time. */
const mostly = <T>(good: fc.Arbitrary<T>, weight = 60): fc.Arbitrary<unknown> =>
  fc.oneof({ weight, arbitrary: good }, { weight: 1, arbitrary: anything });
/** Absent but in one of sixty. */
const rarely = fc.oneof({ weight: 60, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: anything });
/** Absent in some. */
const some = (fields: Record<string, fc.Arbitrary<unknown>>, ...requiredKeys: string[]): fc.Arbitrary<unknown> =>
  fc.record(fields, { requiredKeys });
const listOf = (item: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
  mostly(fc.array(item, { minLength: 1, maxLength: 4 }));

/** One that is good, or now and then one that looks so. */
const pick = <T>(good: readonly T[], bad: readonly unknown[]): fc.Arbitrary<unknown> =>
  mostly(
    fc.oneof({ weight: 30, arbitrary: fc.constantFrom(...good) }, { weight: 1, arbitrary: fc.constantFrom(...bad) }),
  );

const number = pick([1, 80, 443, 9080, 15001, 15006, 15008, 65535], [0, 65536, -1, 80.5, 2 ** 53, "80"]);
const name = pick(["a", "web", "istio-proxy", "istio-init", "istio-validation"], ["", "n".repeat(300), "a b"]);
/** Namespaces in which no good pod lives, and which Istio's own is not: there a valid document concerns others. */
const namespace = mostly(fc.constantFrom("fuzz", "other", "kube-system", ""));

const joined = (...items: readonly string[]): fc.Arbitrary<string> =>
  fc.array(fc.constantFrom(...items), { maxLength: 6 }).map((all) => all.join(","));
const stray = fc.oneof(
  fc.constantFrom("80-90", "+1", "0x50", "65536", "", "*", "10.0.0.1/33", "10.1.2.3", "fe80::1%eth0/64", "010.0.0.0/8"),
  fc.string({ unit: "binary", maxLength: 8 }),
);
/** The value of an annotation, a flag or a variable. */
const wrong = fc.oneof(
  fc.tuple(joined("80", "10.0.0.0/8"), stray).map((parts) => parts.join(",")),
  fc.integer({ min: 1, max: 400 }).map((count) => Array(count).fill("10.0.0.0/8").join(",")),
  fc.string({ unit: "binary", maxLength: 60 }),
);
const listed = (good: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.oneof({ weight: 20, arbitrary: good }, { weight: 1, arbitrary: wrong });
const ports = listed(joined("80", " 443 ", "007", "0", "15008", "65535"));
const ranges = listed(joined("10.0.0.0/8", "10.1.2.3/16", "::/0", "2001:db8::/32", "127.0.0.1/8", "0.0.0.0/0"));
const interfaces = listed(joined("eth0", "lo", "net1.5"));
export const listText = fc.oneof(ports, ranges, interfaces, wrong, fc.constantFrom("*", "", "true", "1337"));

const flag = pick(["true", "false", "1", ""], ["yes", "10.0.0.0/8"]);
const groups = pick(["*", "1000,2000", ""], ["root", "-1"]);
const metadata = {
  ISTIO_META_DNS_CAPTURE: flag,
  ISTIO_DUAL_STACK: flag,
  ISTIO_OUTBOUND_OWNER_GROUPS: groups,
  ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE: groups,
  ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR: pick(["127.0.0.1/32", "127.0.0.0/8"], ["10.0.0.0/8", "::1/128"]),
};
const variables = [...Object.keys(metadata), "DISABLE_ENVOY"];
const written = (value: fc.Arbitrary<unknown>): fc.Arbitrary<string> => value.map((each) => dump(each));
const config = fc.oneof(
  { weight: 20, arbitrary: written(some({ proxyMetadata: mostly(some(metadata)) })) },
  { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 60 }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom("&a [*a]", "{", "- - -", "a: &x 1\nb: *x", "---\n---\n", "proxyMetadata: {<<: 5}"),
  },
);
const traffic = {
  includeOutboundIPRanges: ranges,
  excludeOutboundIPRanges: ranges,
  includeOutboundPorts: ports,
  excludeOutboundPorts: ports,
  includeInboundPorts: ports,
  excludeInboundPorts: ports,
  excludeInterfaces: interfaces,
};
const annotations = some({
  ...Object.fromEntries(
    Object.entries(traffic).map(([key, text]) => [`traffic.sidecar.istio.io/${key}`, mostly(text)]),
  ),
  "sidecar.istio.io/status": mostly(fc.constant("{}")),
  "sidecar.istio.io/interceptionMode": pick(["REDIRECT", "TPROXY", "NONE"], ["none", ""]),
  "status.sidecar.istio.io/port": pick(["15020", "0", ""], ["x"]),
  "proxy.istio.io/config": mostly(config),
  "istio.io/reroute-virtual-interfaces": mostly(listText),
  // The uid of a good pod among them: whoever may create pods may say so.
  "kubernetes.io/config.mirror": mostly(fc.constantFrom("good-0", "good-1", "hash")),
});
const container = some({
  name,
  args: listOf(mostly(fc.constantFrom("proxy", "sidecar", "router", "-p", "-z", "15001", "--", "-p="))),
  env: listOf(some({ name: mostly(fc.constantFrom(...variables)), value: mostly(listText), valueFrom: anything })),
  securityContext: mostly(some({ runAsUser: number, runAsGroup: number })),
  restartPolicy: mostly(fc.constantFrom("Always", "Never")),
});
const pod = fc.record({
  kind: fc.constant("Pod"),
  metadata: mostly(
    fc.record({
      uid: mostly(fc.uuid(), 30),
      name: pick(["a", "web", "good-0"], ["n".repeat(300), ""]),
      namespace,
      labels: mostly(fc.dictionary(fc.string({ maxLength: 8 }), mostly(fc.string({ maxLength: 8 })), { maxKeys: 3 })),
      annotations: mostly(annotations, 20),
    }),
    30,
  ),
  spec: mostly(
    some({
      hostNetwork: mostly(fc.boolean(), 20),
      securityContext: mostly(some({ runAsUser: number, runAsGroup: number }), 20),
      containers: fc.oneof(fc.constant([{ name: "app" }, { name: "istio-proxy" }]), listOf(container)),
      initContainers: listOf(container),
    }),
    20,
  ),
  status: mostly(
    some({ podIPs: listOf(some({ ip: mostly(fc.oneof(fc.ipV4(), fc.ipV6())) })), containerStatuses: listOf(anything) }),
  ),
});

const port = mostly(
  some({ number, protocol: pick(["HTTP", "TCP"], ["SPDY"]), name: pick(["http", ""], ["a_b"]) }, "number"),
);
const bind = pick(["", "127.0.0.1", "::"], ["unix:///a", "unix://@b", "localhost"]);
const captureMode = pick(["DEFAULT", "IPTABLES", "NONE"], ["none", 0]);
const host = pick(["./*", "*/*", "~/*", "ns/a.example", "ns/*.b.example"], ["*.a/b", "a", "/"]);
const sidecar = fc.record({
  apiVersion: pick(
    ["networking.istio.io/v1", "networking.istio.io/v1beta1", "networking.istio.io/v1alpha3"],
    ["networking.istio.io/v9"],
  ),
  kind: fc.constant("Sidecar"),
  metadata: mostly(fc.record({ name, namespace, creationTimestamp: pick(["2024-05-01T12:00:00Z"], ["soon"]) }), 20),
  spec: mostly(
    some({
      workloadSelector: mostly(
        some({
          labels: mostly(
            fc.dictionary(fc.string({ maxLength: 8 }), mostly(fc.string({ maxLength: 80 })), { maxKeys: 3 }),
          ),
        }),
      ),
      ingress: listOf(
        some({ port, bind, captureMode, defaultEndpoint: pick(["127.0.0.1:80", "unix:///a"], ["x:y"]) }, "port"),
      ),
      egress: listOf(some({ port, bind, captureMode, hosts: listOf(host) }, "port", "hosts")),
      outboundTrafficPolicy: mostly(
        some({
          mode: mostly(fc.constantFrom("ALLOW_ANY", "REGISTRY_ONLY")),
          egressProxy: some({ host: name, port, subset: name }),
        }),
      ),
      inboundConnectionPool: rarely,
    }),
    20,
  ),
});
const mesh = fc.record({
  kind: fc.constant("ConfigMap"),
  metadata: fc.record({ name: fc.constant("istio"), namespace }),
  data: fc.record({
    mesh: mostly(
      fc.oneof(
        {
          weight: 20,
          arbitrary: written(
            some({
              outboundTrafficPolicy: mostly(some({ mode: mostly(fc.constantFrom("ALLOW_ANY", "REGISTRY_ONLY")) })),
              rootNamespace: name,
              defaultConfig: mostly(some({ proxyMetadata: mostly(some(metadata)) })),
            }),
          ),
        },
        { weight: 1, arbitrary: config },
      ),
    ),
  }),
});

/** As a person, a tool or an editor of another system writes it. */
const text = (document: fc.Arbitrary<unknown>): fc.Arbitrary<Bytes> =>
  fc.tuple(document, fc.constantFrom("yaml", "yaml", "json", "list", "crlf", "bom", "twice")).map(([value, form]) => {
    const json = JSON.stringify(value);
    const yaml = (): string => dump(JSON.parse(json));
    const written = {
      ...{ json: () => json, yaml, crlf: () => yaml().replaceAll("\n", "\r\n"), bom: () => `\ufeff${yaml()}` },
      ...{ list: () => `{"kind": "List", "items": [${json}]}`, twice: () => `${yaml()}---\n${json}\n` },
    };
    return Buffer.from(written[form as keyof typeof written]());
  });

const pieces = [
  "kind: Pod\n",
  "metadata:\n",
  "  name: a\n",
  "  uid: u\n",
  "spec: ",
  "---\n",
  "...\n",
  "&a ",
  "*a ",
  "<<: *a\n",
  "[",
  "]",
  "{",
  "}",
  "- ",
  ": ",
  "? ",
  "| \n",
  ">-\n",
  "!!str ",
  "!x ",
  "%YAML 1.2\n",
  "\t",
  "\r\n",
  "\u0000",
  "\ufeff",
  "'",
  '"',
  "#",
  "@",
  "`",
  "kind: List\nitems:\n",
  "apiVersion: networking.istio.io/v1\n",
];
const scraps = fc
  .array(fc.oneof(fc.constantFrom(...pieces), fc.string({ unit: "binary", maxLength: 6 })), { maxLength: 40 })
  .map((all) => Buffer.from(all.join("")));

/** Large, deep, repeated and self-referring, each by a size. */
const monsters: readonly ((size: number) => string)[] = [
  (size) => "[".repeat(size),
  (size) => "- ".repeat(size),
  (size) => "{a: ".repeat(size),
  (size) => `kind: Pod\nmetadata: {name: ${"n".repeat(size)}, uid: u}\n`,
  (size) => `kind: Pod\nmetadata: {name: a, uid: u, annotations: {${"k".repeat(size)}: 1}}\n`,
  (size) => `kind: Pod\nx: *${"a".repeat(size)}\n`,
  (size) => `kind: !${"t".repeat(size)} Pod\n`,
  (size) => `kind: Pod\nkind: Pod\nx: ${"y".repeat(size)}\n`,
  (size) => "a: b: c\n---\n".repeat(size >> 4),
  (size) => "---\n".repeat(size),
  (size) => `kind: List\nitems: [${"{kind: Pod},".repeat(size >> 3)}]\n`,
  (size) =>
    `kind: Pod\nmetadata: {name: a, uid: u, annotations: {${Array.from({ length: size >> 3 }, (_, i) => `k${i}: 1`).join(", ")}}}\n`,
  (size) =>
    `kind: &a Pod\nmetadata: {name: a, uid: u, labels: {${Array.from({ length: Math.min(120, size) }, (_, i) => `k${i}: *a`).join(", ")}}}\n`,
  (size) =>
    `x: &a {${Array.from({ length: size >> 3 }, (_, i) => `k${i}: 1`).join(", ")}}\ny: [${"{<<: *a},".repeat(99)}]\n`,
  (size) => laughs(size, "[", "]"),
  (size) => laughs(size, "{kind: List, items: [", "]}"),
  () => "&a [*a]\n",
  () => "&a {kind: List, items: [*a, *a]}\n",
  () => "kind: Pod\nmetadata: &m {name: a, uid: u, labels: *m}\n",
  (size) => `kind: ConfigMap\nmetadata: {name: istio, namespace: fuzz}\ndata: {mesh: "${"x".repeat(size)}: {"}\n`,
];

/** Each level has the one before nine times: a billion laughs at nine levels. */
function laughs(size: number, open: string, close: string): string {
  const levels = 1 + (size % 9);
  const lines = ["a0: &a0 {kind: Pod}"];
  for (let i = 1; i <= levels; i++)
    lines.push(
      `a${i}: &a${i} ${open}${Array(9)
        .fill(`*a${i - 1}`)
        .join(", ")}${close}`,
    );
  return `${lines.join("\n")}\nkind: List\nitems: [*a${levels}]\n`;
}
const monster = fc
  .tuple(
    fc.constantFrom(...monsters),
    fc.oneof(
      { weight: 20, arbitrary: fc.integer({ min: 1, max: 2000 }) },
      { weight: 1, arbitrary: fc.integer({ min: 2000, max: 60_000 }) },
    ),
  )
  .map(([make, size]) => Buffer.from(make(size)));

/** Good documents that have been damaged in some places. */
const torn = fc
  .tuple(
    fc.oneof(text(pod), text(sidecar), text(mesh)),
    fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 3 }),
    fc.nat(),
  )
  .map(([bytes, changes, cut]) => {
    const copy = Uint8Array.from(bytes);
    for (const [at, byte] of changes) copy[at % copy.length] = byte;
    return copy.subarray(0, cut % 3 === 0 ? cut % (copy.length + 1) : copy.length);
  });

/** What is written, by kind. */
export const documents = {
  pod: text(pod),
  sidecar: text(sidecar),
  mesh: text(mesh),
  torn,
  scraps,
  monster,
  bytes: fc.uint8Array({ maxLength: 300 }),
} as const satisfies Record<string, fc.Arbitrary<Bytes>>;
export type Kind = keyof typeof documents;
