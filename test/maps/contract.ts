/** The contract of the object that is built. */
import { readFileSync } from "node:fs";
import { artifact } from "../../src/kernel/artifact.js";
import { native } from "../../src/kernel/native.js";
import { bindContract, type Contract } from "../../src/maps/contract.js";

export function builtBtf() {
  const path = artifact("shunt.bpf.o");
  return native().readBtf(readFileSync(path), path);
}

export function builtContract(): Contract {
  return bindContract(builtBtf());
}
