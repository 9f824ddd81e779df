/** What runs inside the virtual machine. Prints one line `result {json}`; throws when something is wrong. */
import { release } from "node:os";
import { uptime } from "node:process";
import { type Feature, native } from "../../src/kernel/native.js";
import { type Used, useDatapath } from "./datapath.js";

/** Shared with the test, which reads it from the serial line. */
export interface Report {
  readonly node: string;
  readonly kernel: string;
  /** Seconds from the start of this process to this script. */
  readonly started: number;
  readonly features: readonly Feature[];
  readonly used: Used;
}

const started = uptime();
const features = native().probe();

const used = await useDatapath();

const report: Report = { node: process.version, kernel: release(), started, features, used };
console.log(`\nresult ${JSON.stringify(report)}`);
