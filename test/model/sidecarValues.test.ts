import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  refuseAddress,
  refuseEndpoint,
  refuseHost,
  refusePort,
  refuseProtocol,
  refuseUnix,
} from "../../src/model/sidecarValues.js";

/** Each check with what it accepts and what it refuses; the reasons are in the table of refused Sidecars. */
const cases: readonly (readonly [
  (text: string) => string | undefined,
  good: readonly string[],
  bad: readonly string[],
])[] = [
  [refuseUnix, ["unix:///a", "unix:///a/b.sock", "unix://@name"], ["unix://", "unix://a", "unix:///", "unix:///a/"]],
  [
    refuseAddress,
    ["0.0.0.0", "10.0.0.1", "::", "::1", "fe80::1%eth0", "::ffff:10.0.0.1"],
    ["", "10.0.0", "10.0.0.1/32", "01.0.0.1", "10.0.0.1%eth0", "::1%", "%eth0", "[::1]", "a.example", " ::1"],
  ],
  [(text) => refusePort(Number(text)), ["1", "65535"], ["0", "-1", "65536", "x"]],
  [refuseProtocol, ["", "TCP", "tcp", "GRPC-Web", "http_proxy", "MySQL"], ["HTTP3", "http-proxy", " tcp"]],
  [
    refuseEndpoint,
    [":1", "127.0.0.1:80", "0.0.0.0:80", "[::1]:80", "[::]:80", "[]:80", "127.0.0.1:080", "unix:///a"],
    [
      "",
      "80",
      "127.0.0.1",
      "127.0.0.2:80",
      "::1:80",
      "[::1]80",
      "[::1]",
      "127.0.0.1:0",
      ":65536",
      ":a",
      ":",
      "[::1:80",
      "a:b:c",
    ],
  ],
  [
    refuseHost,
    ["*/*", "./*", "~/*", "ns/*", "*/a.b", "*/*.b", "ns/a.b."],
    ["*", "/", "ns/", "/a.b", "ns/a", "-/a.b", "ns/a/b.c", "**/*"],
  ],
];

for (const [check, good, bad] of cases) {
  test(check.name || "refusePort", () => {
    for (const text of good) assert.is(check(text), undefined, text);
    for (const text of bad) assert.type(check(text), "string", text);
  });
}

test.run();
