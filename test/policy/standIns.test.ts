import { test } from "uvu";
import * as assert from "uvu/assert";
import { formatPrefix } from "../../src/model/address.js";
import { readSettings } from "../../src/policy/annotations.js";
import { readStandIns, type StandInFlag, standInNames } from "../../src/policy/standIns.js";
import { pod } from "./kit.js";

const t = (name: string): string => `traffic.sidecar.istio.io/${name}`;

function read(flags: Partial<Record<StandInFlag, string>>, annotations: Record<string, unknown> = {}) {
  const found = readStandIns(flags);
  if ("why" in found) throw new Error(found.why);
  return readSettings(pod({ annotations }), { standIns: found.standIns });
}

test("each flag stands in for its annotation", () => {
  const { settings, bad } = read({
    "include-outbound-ip-ranges": "10.0.0.0/8",
    "exclude-outbound-ip-ranges": "10.96.0.1/32",
    "include-outbound-ports": "1",
    "exclude-outbound-ports": "2,3",
    "include-inbound-ports": "4",
    "exclude-inbound-ports": "5",
  });
  const ranges = (list: typeof settings.includeOutboundRanges): unknown =>
    list === "*" ? list : list.map(({ prefix }) => formatPrefix(prefix));
  assert.equal(ranges(settings.includeOutboundRanges), ["10.0.0.0/8"]);
  assert.equal(ranges(settings.excludeOutboundRanges), ["10.96.0.1/32"]);
  assert.equal(settings.includeOutboundPorts, [1]);
  assert.equal(settings.excludeOutboundPorts, [2, 3], "it replaces 15020, as the annotation does");
  assert.equal(settings.includeInboundPorts, [4]);
  assert.equal(settings.excludeInboundPorts, [5, 15020, 15021, 15090, 15020]);
  assert.is(bad, false);
});

test("an annotation replaces it, also an empty one; a bad one is as none", () => {
  const flags = { "exclude-outbound-ports": "2" };
  const ports = (annotations: Record<string, unknown>) => read(flags, annotations).settings.excludeOutboundPorts;
  assert.equal(ports({ [t("excludeOutboundPorts")]: "7" }), [7]);
  assert.equal(ports({ [t("excludeOutboundPorts")]: "" }), []);
  assert.equal(ports({ [t("excludeOutboundPorts")]: "7," }), [2]);
  assert.equal(ports({ [t("excludeOutboundPorts")]: 7 }), [2]);
  assert.is(read(flags, { [t("excludeOutboundPorts")]: "7," }).bad, true);
});

test("a value that the annotation would refuse is refused", () => {
  for (const flag of standInNames) {
    const found = readStandIns({ [flag]: "80-90" });
    assert.ok("why" in found && found.flag === flag && found.why !== "", flag);
  }
  assert.ok("why" in readStandIns({ "exclude-outbound-ip-ranges": "*" }));
  assert.not.ok("why" in readStandIns({ "include-outbound-ip-ranges": "*", "include-inbound-ports": "" }));
});

test.run();
