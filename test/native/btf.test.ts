import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { native } from "../../src/kernel/native.js";
import { compile, compilePath, fails, present } from "./kit.js";

test("readBtf() lays structs out as the compiler did", () => {
  const { structs, enums } = native().readBtf(compile("types"), "types");
  const rule = present(structs.find(({ name }) => name === "rule"));
  const member = (name: string, offset: number, size: number, elements = 0, struct = "") => ({
    name,
    offset,
    size,
    elements,
    struct,
  });
  assert.equal(rule, {
    name: "rule",
    size: 136,
    members: [
      member("policy", 0, 8),
      member("port", 8, 4),
      member("fixed", 12, 4),
      member("address", 16, 20, 0, "address"),
      member("list", 36, 60, 3, "address"),
      member("grid", 96, 16, 8),
      member("verdict", 112, 4),
      // Of the anonymous union, and of the anonymous struct in it. The bit field is left out.
      member("word", 116, 4),
      member("low", 116, 2),
      member("high", 118, 2),
      member("pointer", 128, 8),
    ],
  });
  assert.ok(structs.every(({ name }) => name !== ""));
  assert.equal(present(enums.find(({ name }) => name === "verdict")).values, [
    { name: "VERDICT_BYPASS", value: 0 },
    { name: "VERDICT_REDIRECT", value: 5 },
    { name: "VERDICT_NONE", value: -1 },
  ]);
});

test("readBtf() refuses what has none", () => {
  fails("ENOEXEC", () => native().readBtf(new Uint8Array(8), "garbage"));
  const path = compilePath("types");
  execFileSync("llvm-objcopy", ["--remove-section=.BTF", "--remove-section=.BTF.ext", path]);
  const error = fails("ERR_NOT_FOUND", () => native().readBtf(readFileSync(path), "bare"));
  assert.is(error.subject, "bare");
});

test.run();
