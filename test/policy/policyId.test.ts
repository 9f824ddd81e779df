import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Prefix } from "../../src/model/address.js";
import type { Policy } from "../../src/model/policy.js";
import { compilePolicy, withRoutes } from "../../src/policy/compile.js";
import { canonicalText } from "../../src/policy/policyId.js";
import { prefix } from "../samples.js";
import { anySettings } from "./arbitrary.js";
import { defaults } from "./kit.js";

/** The same text, line by line. */
function lines(policy: Policy): string {
  const shown = ({ address, length }: Prefix): string =>
    `${address.family} ${Buffer.from(address.bytes).toString("hex")}/${length}`;
  return [
    "shunt policy 2",
    `proxy ${policy.proxyUid} ${policy.proxyGid}`,
    `to ${policy.outboundPort} ${policy.inboundPort}`,
    `other ${policy.captureOtherOutbound} ${policy.captureOtherInbound}`,
    `local ${policy.keepLocal}`,
    ...(policy.sidecarNone ? ["other outbound sidecar-none"] : []),
    `loopback ${shown(policy.loopback)}`,
    `owners ${[policy.owners.mode, ...policy.owners.gids].join(" ")}`,
    `dns ${policy.dns}`,
    ...policy.routes.map((route) => `route ${shown(route.prefix)} ${route.excluded}`),
    ...policy.ports.map((rule) => `port ${rule.direction} ${rule.port} ${rule.action} ${rule.reason}`),
    ...policy.ranges.map((rule) => `range ${shown(rule.prefix)} ${rule.action} ${rule.reason}`),
  ].join("\n");
}

test("the text of any policy, and nothing of the one before it", () => {
  const routes = [
    { prefix: prefix("10.0.0.0/8"), excluded: true },
    { prefix: prefix("2001:db8::/32"), excluded: false },
  ];
  fc.assert(
    fc.property(anySettings, (settings) => {
      const policy = compilePolicy(settings);
      for (const one of [withRoutes(policy, routes), policy]) assert.is(canonicalText(one), lines(one));
    }),
    { numRuns: 1000 },
  );
});

test("a policy of more rules than the first piece of memory holds", () => {
  const ports = Array.from({ length: 5000 }, (_, i) => ({
    direction: "outbound" as const,
    port: i * 13,
    action: "bypass" as const,
    reason: "excluded-port" as const,
  }));
  const policy = { ...compilePolicy(defaults), ports };
  assert.is(canonicalText(policy), lines(policy));
});

test.run();
