/** Whether IPv6 is captured in a pod (semantics, section 3). */
import type { Address } from "../model/address.js";

export function isLinkLocal({ family, bytes }: Address): boolean {
  return family === 4 ? bytes[0] === 169 && bytes[1] === 254 : bytes[0] === 0xfe && ((bytes[1] ?? 0) & 0xc0) === 0x80;
}

/**
 * The pod's first address that is neither loopback nor link-local is IPv6; with dual stack, any of them is. As long
 * as no address is known IPv6 counts as captured: this fails closed.
 * @param addresses as Kubernetes lists them first, without loopback.
 */
export function capturesIpv6(addresses: readonly Address[], dualStack: boolean): boolean {
  const own = addresses.filter((address) => !isLinkLocal(address));
  if (own.length === 0) return true;
  return dualStack ? own.some(({ family }) => family === 6) : own[0]?.family === 6;
}
