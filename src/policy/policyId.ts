/**
 * A policy's id: the first 64 bits of SHA-256 over its content as text. The text is put together as bytes: a node may have
 * a hundred thousand rules, and a string for each part of each line took more time than the hash.
 */
import { hash } from "node:crypto";
import type { Address, Prefix } from "../model/address.js";
import type { Policy } from "../model/policy.js";

const [zero, a, space, slash] = [0x30, 0x61, 0x20, 0x2f];

/** ASCII that is written from left to right. */
class Ascii {
  #bytes = new Uint8Array(4096);
  #length = 0;

  get written(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }

  code(code: number): void {
    if (this.#length === this.#bytes.length) {
      const more = new Uint8Array(2 * this.#length);
      more.set(this.#bytes);
      this.#bytes = more;
    }
    this.#bytes[this.#length++] = code;
  }

  text(text: string): void {
    for (let i = 0; i < text.length; i++) this.code(text.charCodeAt(i));
  }

  word(text: string): void {
    this.code(space);
    this.text(text);
  }

  /** In decimal; an integer that is not negative. */
  number(value: number): void {
    if (value > 9) this.number(Math.trunc(value / 10));
    this.code(zero + (value % 10));
  }

  /** Family, 16 bytes in hexadecimal, length. */
  prefix({ address, length }: Prefix): void {
    this.number(address.family);
    this.code(space);
    this.#hex(address);
    this.code(slash);
    this.number(length);
  }

  #hex({ bytes }: Address): void {
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i] ?? 0;
      this.#digit(byte >> 4);
      this.#digit(byte & 15);
    }
  }

  #digit(value: number): void {
    this.code(value < 10 ? zero + value : a + value - 10);
  }
}

function write(out: Ascii, policy: Omit<Policy, "id">): void {
  out.text("shunt policy 2\n");
  out.text(`proxy ${policy.proxyUid} ${policy.proxyGid}\n`);
  out.text(`to ${policy.outboundPort} ${policy.inboundPort}\n`);
  out.text(`other ${policy.captureOtherOutbound} ${policy.captureOtherInbound}\n`);
  out.text(`local ${policy.keepLocal}\n`);
  if (policy.sidecarNone) out.text("other outbound sidecar-none\n");
  out.text("loopback ");
  out.prefix(policy.loopback);
  out.text(`\nowners ${[policy.owners.mode, ...policy.owners.gids].join(" ")}\n`);
  out.text(`dns ${policy.dns}`);
  for (const route of policy.routes) {
    out.text("\nroute ");
    out.prefix(route.prefix);
    out.word(`${route.excluded}`);
  }
  for (const rule of policy.ports) {
    out.text("\nport ");
    out.text(rule.direction);
    out.code(space);
    out.number(rule.port);
    out.word(rule.action);
    out.word(rule.reason);
  }
  for (const rule of policy.ranges) {
    out.text("\nrange ");
    out.prefix(rule.prefix);
    out.word(rule.action);
    out.word(rule.reason);
  }
}

/** One for all: each call writes it anew. */
const scratch = new Ascii();

function written(policy: Omit<Policy, "id">): Uint8Array {
  scratch.clear();
  write(scratch, policy);
  return scratch.written;
}

/** What the id of a policy is made of. Names, not numbers of enums, so that it outlives their order. */
export function canonicalText(policy: Omit<Policy, "id">): string {
  return Buffer.from(written(policy)).toString("latin1");
}

export function policyId(policy: Omit<Policy, "id">): bigint {
  const id = hash("sha256", written(policy), "buffer").readBigUInt64BE();
  return id === 0n ? 1n : id; // 0 stands for "none" in the maps
}
