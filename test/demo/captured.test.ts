/** That it waits long enough, test/kernel/haproxyInbound.test.ts and the demo's own test say in passing. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { untilCaptured } from "../../src/demo/captured.js";

const why = (promise: Promise<void>): Promise<string> =>
  promise.then(
    () => "captured",
    (error: Error) => error.message,
  );

test("where nothing is attached it gives up, and says what there is", async () => {
  assert.is(
    await why(untilCaptured("/nonexistent", [{ cgroupId: 1n }, { cgroupId: 2n }], 2, { within: 20 })),
    "inbound connections are not captured in 20 ms: 0 of 2 pods, 0 of 2 listeners",
  );
});

test("it ends with its signal", async () => {
  const signal = AbortSignal.abort(new Error("enough"));
  assert.is(await why(untilCaptured("/nonexistent", [{ cgroupId: 1n }], 1, { signal })), "enough");
});

test.run();
