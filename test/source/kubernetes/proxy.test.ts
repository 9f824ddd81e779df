import { test } from "uvu";
import * as assert from "uvu/assert";
import { proxyFor } from "../../../src/source/kubernetes/proxy.js";

const proxy = "http://proxy.example:3128";
const api = "https://api.example:6443";
const asked = (server: string, env: Record<string, string>): string | undefined => proxyFor(new URL(server), env);

test("which variable counts", () => {
  assert.is(asked(api, {}), undefined);
  assert.is(asked(api, { HTTPS_PROXY: proxy }), proxy);
  assert.is(asked(api, { https_proxy: proxy }), proxy);
  assert.is(asked(api, { HTTPS_PROXY: proxy, https_proxy: "http://other" }), proxy);
  assert.is(asked(api, { HTTPS_PROXY: "", https_proxy: proxy }), proxy);
  assert.is(asked(api, { HTTP_PROXY: proxy, ALL_PROXY: proxy }), undefined);
  assert.is(asked("http://api.example", { HTTP_PROXY: proxy, HTTPS_PROXY: "http://other" }), proxy);
});

test("one without a scheme is http", () => {
  assert.is(asked(api, { HTTPS_PROXY: "proxy.example:3128" }), proxy);
  assert.is(asked(api, { HTTPS_PROXY: "socks5://proxy.example:1080" }), "socks5://proxy.example:1080");
});

test("this machine itself has none", () => {
  for (const host of ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"]) {
    assert.is(asked(`https://${host}:6443`, { HTTPS_PROXY: proxy }), undefined, host);
  }
});

const exceptions: readonly (readonly [noProxy: string, server: string, direct: boolean])[] = [
  ["*", api, true],
  ["api.example", api, true],
  ["API.Example", api, true],
  ["example", api, true],
  [".example", api, true],
  ["*.example", api, true],
  [".api.example", api, false],
  ["*.api.example", api, false],
  ["pi.example", api, false],
  ["other, api.example ,", api, true],
  ["api.example:6443", api, true],
  ["api.example:443", api, false],
  ["api.example:443", "https://api.example", true],
  ["", api, false],
  ["10.0.0.0/8", "https://10.96.0.1", true],
  ["10.96.0.0/24", "https://10.96.1.1", false],
  ["10.0.0.0/33", "https://10.96.0.1", false],
  ["10.0.0.0/8", api, false],
  ["10.96.0.1", "https://10.96.0.1:443", true],
  ["10.96.0.1:6443", "https://10.96.0.1:443", false],
  ["fd00::/8", "https://[fd00::1]:6443", true],
  ["fd00::1", "https://[fd00:0::1]:6443", true],
  ["[fd00::1]:443", "https://[fd00::1]:6443", false],
  ["[fd00::1]:6443", "https://[fd00::1]:6443", true],
  ["10.0.0.0/8", "https://[fd00::1]:6443", false],
];
for (const [noProxy, server, direct] of exceptions) {
  test(`NO_PROXY="${noProxy}" and ${server}: ${direct ? "directly" : "through the proxy"}`, () => {
    assert.is(asked(server, { HTTPS_PROXY: proxy, NO_PROXY: noProxy }), direct ? undefined : proxy);
    assert.is(asked(server, { HTTPS_PROXY: proxy, no_proxy: noProxy }), direct ? undefined : proxy);
  });
}

test.run();
