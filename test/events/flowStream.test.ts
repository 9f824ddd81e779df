import { test } from "uvu";
import * as assert from "uvu/assert";
import { openFlowStream } from "../../src/events/flowStream.js";
import type { Flow, FlowRecord } from "../../src/events/flows.js";
import { addressFromBytes } from "../../src/model/address.js";
import { fakeMap } from "../maps/fake.js";

const record: FlowRecord = {
  time: 5n,
  pod: 7n,
  source: undefined,
  destination: addressFromBytes(Uint8Array.of(10, 0, 0, 1)),
  source_port: 0,
  destination_port: 80,
  pid: 12,
  uid: 1000,
  direction: 0,
  verdict: 1,
  reason: 10,
  protocol: 6,
  target_port: 15001,
  command: Uint8Array.from("curl\0junk after it", (char) => char.charCodeAt(0)).subarray(0, 16),
};

function bed() {
  const intervals: number[] = [];
  let push = (_records: Uint8Array[]): void => {};
  const stream = openFlowStream({
    ring: fakeMap("flows", 0, 0, 1),
    openRing(_map, onRecords) {
      push = onRecords;
      return { drain: () => 0, unref() {}, ref() {}, close() {} };
    },
    decode: () => record,
    sample: (interval) => intervals.push(interval),
  });
  return { stream, intervals, push: (count: number) => push(Array.from({ length: count }, () => new Uint8Array())) };
}

test("nothing is sampled while nobody listens; all is when one listener wants all", () => {
  const { stream, intervals } = bed();
  const some = stream.subscribe(() => {}, false);
  const all = stream.subscribe(() => {}, true);
  all();
  all();
  some();
  stream.close();
  assert.equal(intervals, [0, 16, 1, 16, 0, 0]);
});

test("every listener gets every flow, decoded, until it ends its subscription", () => {
  const { stream, push } = bed();
  const mine: Flow[] = [];
  const end = stream.subscribe((flow) => mine.push(flow), false);
  const others: Flow[] = [];
  stream.subscribe((flow) => others.push(flow), false);
  push(2);
  end();
  push(1);
  assert.is(mine.length, 2);
  assert.is(others.length, 3);
  const [flow] = mine;
  assert.is(flow?.command, "curl");
  assert.equal(
    [flow?.direction, flow?.verdict, flow?.reason, flow?.targetPort],
    ["outbound", "redirect", "included-all", 15001],
  );
});

test.run();
