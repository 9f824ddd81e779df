import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { native } from "../../src/kernel/native.js";
import { bindContract } from "../../src/maps/contract.js";
import { checkEnum, enumNames, LayoutError, structCodec } from "../../src/maps/layout.js";
import { decodeAddress, encodeAddress } from "../../src/maps/records.js";
import { reasons } from "../../src/model/verdict.js";
import { addressArbitrary } from "./arbitrary.js";
import { builtBtf, builtContract } from "./contract.js";

const contract = builtContract();

/** The contract header, changed as a hasty hand would, compiled for real. */
function bindChanged(change: (header: string) => string): void {
  const directory = mkdtempSync(join(tmpdir(), "shunt-layout-"));
  try {
    const header = readFileSync("bpf/contract.h", "utf8");
    const changed = change(header);
    assert.is.not(changed, header, "the change must hit something");
    writeFileSync(join(directory, "contract.h"), changed.replace(/^SHUNT_ASSERT_SIZE\(.*$/gm, ""));
    for (const file of ["types.bpf.c", "maps.h"]) writeFileSync(join(directory, file), readFileSync(join("bpf", file)));
    writeFileSync(join(directory, "all.bpf.c"), '#include "maps.h"\n#include "types.bpf.c"\n');
    const object = join(directory, "all.o");
    const include = `-I/usr/include/${execFileSync("gcc", ["-print-multiarch"], { encoding: "utf8" }).trim()}`;
    execFileSync("clang", ["-O2", "-g", "-target", "bpf", include, "-c", join(directory, "all.bpf.c"), "-o", object]);
    bindContract(native().readBtf(readFileSync(object), object));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function layoutError(change: (header: string) => string): string {
  try {
    bindChanged(change);
  } catch (error) {
    assert.instance(error, LayoutError);
    return (error as Error).message;
  }
  return assert.unreachable("the change was not noticed") ?? "";
}

test("the header as it is binds", () => {
  bindChanged((header) => `${header}\n/* changed */\n`);
});

test("a member that is renamed in C is noticed, and named", () => {
  assert.match(
    layoutError((h) => h.replace(/(struct pod_record \{[^}]*)netns_cookie;/, "$1netns;")),
    /struct pod_record: has no member netns_cookie/,
  );
});

test("a member that is added in C is noticed", () => {
  assert.match(
    layoutError((h) => h.replace("__u32 proxy_uid;", "__u32 proxy_uid;\n\t__u32 mark;")),
    /struct policy: member mark is compiled but not known/,
  );
});

test("a member that changes its width is noticed", () => {
  assert.match(
    layoutError((h) => h.replace("__u32 proxy_uid;", "__u64 proxy_uid;")),
    /struct policy, member proxy_uid: compiled as u64 of 8 bytes, used as uint/,
  );
});

test("a reason that is added, or moved, in C alone is noticed", () => {
  assert.match(
    layoutError((h) => h.replace("\tREASON_DNS,", "\tREASON_DNS,\n\tREASON_NEW,")),
    /enum reason/,
  );
  assert.match(
    layoutError((h) => h.replace("\tREASON_DNS,\n", "").replace("\tREASON_PROXY,", "\tREASON_PROXY,\n\tREASON_DNS,")),
    /enum reason/,
  );
});

test("a member that moves keeps working: offsets come from the object", () => {
  bindChanged((h) => h.replace("\t__u32 proxy_uid;\n\t__u32 proxy_gid;", "\t__u32 proxy_gid;\n\t__u32 proxy_uid;"));
});

test("the layout's hash follows the layout and nothing else", () => {
  const btf = builtBtf();
  assert.is(bindContract(btf).hash, contract.hash);
  const moved = btf.structs.map((struct) => (struct.name === "origin" ? { ...struct, size: 32 } : struct));
  assert.is.not(bindContract({ ...btf, structs: moved }).hash, contract.hash);
});

test("decode(encode(x)) is x, for a struct with structs, arrays and all widths", () => {
  fc.assert(
    fc.property(
      addressArbitrary,
      addressArbitrary,
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      fc.nat(65535),
      fc.nat(255),
      (a, b, big, port, byte) => {
        const flow = {
          time: big,
          pod: big ^ 5n,
          source: encodeAddress(a),
          destination: encodeAddress(b),
          source_port: port,
          destination_port: 65535 - port,
          pid: port * 65535,
          uid: 2 ** 32 - 1,
          direction: byte & 1,
          verdict: byte,
          reason: 255 - byte,
          protocol: 6,
          target_port: port,
          command: new Uint8Array(16).fill(byte),
        };
        const encoded = contract.flow.encode(flow);
        assert.is(encoded.length, contract.flow.size);
        assert.equal(contract.flow.decode(encoded), flow);
        assert.equal(decodeAddress(contract.flow.decode(encoded).source), a);
      },
    ),
  );
});

test("a wrong number of bytes is an error, not a guess", () => {
  assert.throws(() => contract.rule.decode(new Uint8Array(5)), /struct rule: 4 bytes, not 5/);
});

test("structs and enums that are not in the object are named", () => {
  const { structs, enums } = builtBtf();
  assert.throws(() => structCodec(structs, "nothing", {}), /struct nothing: not in the object/);
  assert.throws(() => enumNames(enums, "nothing"), /enum nothing: not in the object/);
  checkEnum(enums, "reason", reasons);
});

test.run();
