/** Whether IPv6 is captured in a pod (semantics, section 3). */
import type { Address } from "../model/address.js";

function isLinkLocal({ family, bytes }: Address): boolean {
  return family === 4 ? bytes[0] === 169 && bytes[1] === 254 : bytes[0] === 0xfe && ((bytes[1] ?? 0) & 0xc0) === 0x80;
}

/** Whether a pod can be known by it. Not link-local, nor ::6, which is on loopback for Envoy to bind. */
export function namesPod(address: Address): boolean {
  return !isLinkLocal(address) && !(address.family === 6 && address.bytes.subarray(0, 15).every((byte) => byte === 0));
}

/**
 * The pod's first address that is neither loopback nor link-local is IPv6; with dual stack, any of them is. As long
 * as no address is known IPv6 counts as captured: this fails closed.
 * @param addresses as Kubernetes lists them first, without loopback.
 */
export function capturesIpv6(addresses: readonly Address[], dualStack: boolean): boolean {
  const own = addresses.filter(namesPod);
  if (own.length === 0) return true;
  return dualStack ? own.some(({ family }) => family === 6) : own[0]?.family === 6;
}
