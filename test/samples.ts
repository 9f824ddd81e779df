/** Addresses and policies for tests, as a person writes them. */
import { type Address, maskAddress, type Prefix, parseAddress } from "../src/model/address.js";
import type { Policy } from "../src/model/policy.js";

export function address(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new RangeError(text);
  return parsed;
}

export function prefix(text: string): Prefix {
  const [start = "", length = "32"] = text.split("/");
  return maskAddress(address(start), Number(length));
}

/** All outbound TCP to 15001, but for what `changes` say. */
export function policy(id: bigint, changes: Partial<Policy> = {}): Policy {
  return {
    id,
    proxyUid: 1337,
    proxyGid: 1337,
    outboundPort: 15001,
    inboundPort: 15006,
    captureOtherOutbound: true,
    sidecarNone: false,
    captureOtherInbound: true,
    keepLocal: false,
    loopback: prefix("127.0.0.1/32"),
    ports: [],
    ranges: [],
    ...changes,
  };
}
