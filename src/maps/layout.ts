/**
 * Encoders and decoders of the C structs in bpf/contract.h. Offsets and sizes come from the object's BTF;
 * only the names, and what a value is in TypeScript, are said here. A name or a kind that does not fit what
 * was compiled is an error at start, so the two cannot drift apart.
 */
import { endianness } from "node:os";
import type { BtfEnum, BtfMember, BtfStruct } from "../kernel/native.js";

/** Of one member: `u64` a bigint, `uint` a number (1, 2 or 4 bytes), `bytes` an array as it stands, or a struct. */
type Kind = "u64" | "uint" | "bytes" | Shape;
/** Member name → kind. Padding (`pad…`) is not named; it is written as 0. */
export interface Shape {
  readonly [member: string]: Kind;
}
export type ValueOf<K> = K extends "u64"
  ? bigint
  : K extends "uint"
    ? number
    : K extends "bytes"
      ? Uint8Array
      : K extends Shape
        ? { readonly [M in keyof K]: ValueOf<K[M]> }
        : never;

export interface Codec<S extends Shape> {
  /** Bytes. */
  readonly size: number;
  /** Byte offset of a member, for a single store into a map. */
  offset(member: keyof S & string): number;
  encode(value: ValueOf<S>): Uint8Array;
  /** @throws RangeError if there are not exactly {@link size} bytes. */
  decode(bytes: Uint8Array): ValueOf<S>;
}

/** The compiled contract and this file disagree. */
export class LayoutError extends Error {}

const little = endianness() === "LE";

interface Field {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
  readonly kind: "u64" | "uint" | "bytes" | readonly Field[];
}

function checkMember(where: string, kind: Kind, member: BtfMember): void {
  const found = member.struct !== "" ? "struct" : member.elements > 0 ? "bytes" : member.size === 8 ? "u64" : "uint";
  const said = typeof kind === "object" ? "struct" : kind;
  const fits = found === said || (said === "bytes" && member.elements > 0);
  if (!fits || (found === "uint" && ![1, 2, 4].includes(member.size))) {
    throw new LayoutError(`${where}: compiled as ${found} of ${member.size} bytes, used as ${said}`);
  }
}

function fieldsOf(structs: readonly BtfStruct[], name: string, shape: Shape): { size: number; fields: Field[] } {
  const struct = structs.find((candidate) => candidate.name === name);
  if (struct === undefined) throw new LayoutError(`struct ${name}: not in the object`);
  const members = new Map(struct.members.map((member) => [member.name, member]));
  const fields = Object.entries(shape).map(([key, kind]): Field => {
    const member = members.get(key);
    if (member === undefined) throw new LayoutError(`struct ${name}: has no member ${key}`);
    checkMember(`struct ${name}, member ${key}`, kind, member);
    members.delete(key);
    const inner = typeof kind === "object" ? fieldsOf(structs, member.struct, kind).fields : kind;
    return { name: key, offset: member.offset, size: member.size, kind: inner };
  });
  const left = [...members.keys()].filter((key) => !/^pad\d*$/.test(key));
  if (left.length > 0)
    throw new LayoutError(`struct ${name}: member ${left.join(", ")} is compiled but not known here`);
  return { size: struct.size, fields };
}

function writeField(view: DataView, base: number, field: Field, value: unknown): void {
  const at = base + field.offset;
  if (field.kind === "u64") view.setBigUint64(at, value as bigint, little);
  else if (field.kind === "bytes")
    new Uint8Array(view.buffer, view.byteOffset + at, field.size).set(value as Uint8Array);
  else if (field.kind !== "uint") {
    for (const inner of field.kind) writeField(view, at, inner, (value as Record<string, unknown>)[inner.name]);
  } else if (field.size === 1) view.setUint8(at, value as number);
  else if (field.size === 2) view.setUint16(at, value as number, little);
  else view.setUint32(at, value as number, little);
}

function readField(view: DataView, base: number, field: Field): unknown {
  const at = base + field.offset;
  if (field.kind === "u64") return view.getBigUint64(at, little);
  if (field.kind === "bytes") return new Uint8Array(view.buffer, view.byteOffset + at, field.size).slice();
  if (field.kind !== "uint")
    return Object.fromEntries(field.kind.map((inner) => [inner.name, readField(view, at, inner)]));
  if (field.size === 1) return view.getUint8(at);
  return field.size === 2 ? view.getUint16(at, little) : view.getUint32(at, little);
}

/**
 * @param structs of the object's BTF. @param name of the C struct. @param shape its members.
 * @throws LayoutError naming the struct and the member that differ.
 */
export function structCodec<S extends Shape>(structs: readonly BtfStruct[], name: string, shape: S): Codec<S> {
  const { size, fields } = fieldsOf(structs, name, shape);
  const offsets = new Map(fields.map((field) => [field.name, field.offset]));
  return {
    size,
    offset: (member) => offsets.get(member) ?? 0,
    encode(value) {
      const bytes = new Uint8Array(size);
      const view = new DataView(bytes.buffer);
      for (const field of fields) writeField(view, 0, field, (value as Record<string, unknown>)[field.name]);
      return bytes;
    },
    decode(bytes) {
      if (bytes.length !== size) throw new RangeError(`struct ${name}: ${size} bytes, not ${bytes.length}`);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      return Object.fromEntries(fields.map((field) => [field.name, readField(view, 0, field)])) as ValueOf<S>;
    },
  };
}

/**
 * Names of a C enum's values: `REASON_PROXY_TO_SELF` of `enum reason` is `proxy-to-self`.
 * @returns value → name. @throws LayoutError if the enum is not in the object.
 */
export function enumNames(enums: readonly BtfEnum[], name: string): ReadonlyMap<number, string> {
  const found = enums.find((candidate) => candidate.name === name);
  if (found === undefined) throw new LayoutError(`enum ${name}: not in the object`);
  const prefix = `${name.toUpperCase()}_`;
  return new Map(
    found.values
      .filter((entry) => entry.name.startsWith(prefix))
      .map((entry) => [entry.value, entry.name.slice(prefix.length).toLowerCase().replaceAll("_", "-")]),
  );
}

/** @throws LayoutError if the C enum is not exactly this list, in this order, from 0. */
export function checkEnum(enums: readonly BtfEnum[], name: string, list: readonly string[]): void {
  const compiled = [...enumNames(enums, name)].sort(([a], [b]) => a - b);
  const same = compiled.length === list.length && compiled.every(([value, text], i) => value === i && text === list[i]);
  if (!same)
    throw new LayoutError(`enum ${name}: compiled as ${compiled.map(([, t]) => t).join(" ")}; here ${list.join(" ")}`);
}

export const u32 = {
  encode(value: number): Uint8Array {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, value, little);
    return bytes;
  },
  decode: (bytes: Uint8Array): number => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, little),
};

export const u64 = {
  encode(value: bigint): Uint8Array {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, little);
    return bytes;
  },
  decode: (bytes: Uint8Array): bigint => new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, little),
  /** Sum of a per-CPU value. */
  sum(bytes: Uint8Array): bigint {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let total = 0n;
    for (let at = 0; at < bytes.length; at += 8) total += view.getBigUint64(at, little);
    return total;
  },
};
