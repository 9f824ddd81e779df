import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseDuration } from "../../src/model/sidecarExtras.js";

test("durations as Go reads them", () => {
  const cases: [string, number | undefined][] = [
    ["0", 0],
    ["1s", 1e9],
    ["1m30s", 90e9],
    ["1.5h", 5400e9],
    [".5ms", 5e5],
    ["10us", 1e4],
    ["-1s", -1e9],
    ["", undefined],
    ["5", undefined],
    ["1d", undefined],
    ["s", undefined],
    ["1 s", undefined],
    [".s", undefined],
  ];
  for (const [text, length] of cases) assert.is(parseDuration(text), length, text);
});

test.run();
