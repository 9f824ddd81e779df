/** What can happen to a socket, and why. One closed list, shared with `bpf/contract.h` (a test compares the two). */

export const verdicts = ["bypass", "redirect", "deny"] as const;
export type Verdict = (typeof verdicts)[number];

/** In the order of `enum reason` in bpf/contract.h. */
export const reasons = [
  "proxy",
  "proxy-to-self",
  "passthrough-source",
  "loopback",
  "local-address",
  "excluded-port",
  "excluded-range",
  "excluded-interface",
  "included-port",
  "included-range",
  "included-all",
  "not-included",
  "owner-group",
  "dns",
  "not-tcp",
  "family-off",
  "sidecar-none",
  "tunnel-port",
  "mode-none",
  "foreign-netns",
  "unknown-pod",
  "no-listener",
  "no-memory",
] as const;
export type Reason = (typeof reasons)[number];

export const directions = ["outbound", "inbound"] as const;
export type Direction = (typeof directions)[number];
