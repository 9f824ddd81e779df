/** The servers of a pod's resolv.conf(5). The file is the pod's: nothing in it, nor what it is, may harm the agent. */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { type Address, parseAddress } from "../model/address.js";

/** Bytes that are looked at: the C library reads three servers. */
const longest = 65536;

/** @returns each server once, in order. Zones are left out: what is sent has none in its address. */
export function parseResolvConf(text: string): Address[] {
  const found = new Map<string, Address>();
  for (const line of text.split("\n")) {
    const server = /^\s*nameserver\s+([^\s#;%]+)/.exec(line)?.[1];
    const address = server === undefined ? undefined : parseAddress(server);
    if (address !== undefined) found.set(`${address.family} ${address.bytes.join(".")}`, address);
  }
  return [...found.values()];
}

/** @returns none if there is no such file, or it is something else than a file: a pipe would hold the agent up. */
export function readResolvConf(path: string): Address[] {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch {
    return [];
  }
  try {
    if (!fstatSync(fd).isFile()) return [];
    const buffer = Buffer.alloc(longest);
    return parseResolvConf(buffer.toString("utf8", 0, readSync(fd, buffer)));
  } finally {
    closeSync(fd);
  }
}
