import type { Socket } from "node:net";
import { addressFromBytes, formatAddress, parseAddress } from "../model/address.js";
import type { Endpoint } from "../model/endpoint.js";
import { native } from "./native.js";

/** Where the connection was going before it was steered here. @throws KernelError: ENOENT if it was not. */
export function originalDestination(socket: Socket): Endpoint {
  const { fd } = (socket as unknown as { readonly _handle: { readonly fd: number } })._handle;
  const level = parseAddress(socket.localAddress ?? "")?.family === 6 ? 41 : 0;
  const { address, port } = native().originalDestination(fd, level);
  return { address: formatAddress(addressFromBytes(address)), port };
}
