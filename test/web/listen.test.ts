import { test } from "uvu";
import * as assert from "uvu/assert";
import { UsageError } from "../../src/errors.js";
import { defaultListen, parseListen } from "../../src/web/listen.js";

const good: readonly [string, ReturnType<typeof parseListen>][] = [
  [defaultListen, { host: "127.0.0.1", port: 15099 }],
  ["[::1]:0", { host: "::1", port: 0 }],
  ["[::]:65535", { host: "::", port: 65535 }],
  [":15099", { host: undefined, port: 15099 }],
  ["0.0.0.0:1", { host: "0.0.0.0", port: 1 }],
  ["off", undefined],
];
for (const [text, expected] of good) test(`--listen ${text}`, () => assert.equal(parseListen(text), expected));

const bad: readonly [string, RegExp][] = [
  ["", /there is no port/],
  ["15099", /there is no port/],
  ["127.0.0.1", /there is no port/],
  ["::1", /there is no port/],
  ["[::1]", /there is no port/],
  ["127.0.0.1:", /"" is no port/],
  ["127.0.0.1:65536", /"65536" is no port/],
  ["127.0.0.1:-1", /"-1" is no port/],
  ["127.0.0.1:80a", /"80a" is no port/],
  ["::1:15099", /there is no port|brackets/],
  ["fe80:0:0:0:0:0:0:1:15099", /brackets/],
  ["localhost:15099", /"localhost" is no IP address/],
  ["010.0.0.1:1", /is no IP address/],
  ["[127.0.0.1]:1", /is no IP address/],
  ["http://127.0.0.1:1", /is no IP address/],
  ["Off", /there is no port/],
];
for (const [text, why] of bad) {
  test(`--listen ${JSON.stringify(text)} is refused, with the ways to write it`, () => {
    assert.throws(
      () => parseListen(text),
      (error: Error) =>
        error instanceof UsageError &&
        error.message.startsWith(`shunt run: --listen ${text}: `) &&
        why.test(error.message) &&
        error.message.endsWith("Write it as 127.0.0.1:15099, [::1]:15099, :15099 or off."),
    );
  });
}

test.run();
