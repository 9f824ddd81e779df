import { test } from "uvu";
import * as assert from "uvu/assert";
import { resetsCollector } from "../../src/metrics/resets.js";

test("there from the start, and counted as they happen", async () => {
  const { registry, reset, collect } = resetsCollector();
  const value = async (): Promise<string | undefined> =>
    /^shunt_reset_connections_total (\d+)$/m.exec(await registry.metrics())?.[1];
  collect();
  assert.is(await value(), "0");
  reset(2);
  reset(3);
  collect();
  assert.is(await value(), "5");
});

test.run();
