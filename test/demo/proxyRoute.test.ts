import { test } from "uvu";
import * as assert from "uvu/assert";
import { classify, createPicker, parseServices } from "../../src/demo/proxyRoute.js";
import { formatEndpoint, makeEndpoint, parseEndpoint } from "../../src/model/endpoint.js";

test("endpoints: one text for one address, and nothing else is taken", () => {
  for (const text of ["10.96.0.10:5000", "[fd00::1]:80", "0.0.0.0:0"])
    assert.is(formatEndpoint(parseEndpoint(text)), text);
  assert.is(formatEndpoint(parseEndpoint("[FD00:0::0001]:080")), "[fd00::1]:80");
  assert.is(formatEndpoint(makeEndpoint("::ffff:10.0.0.1", 1)), "10.0.0.1:1");
  assert.is(makeEndpoint(undefined, 1), undefined);
  assert.is(formatEndpoint(undefined), "");
  for (const text of [
    "",
    "10.0.0.1",
    "10.0.0:1",
    "fd00::1:80",
    "host:80",
    "10.0.0.1:65536",
    "10.0.0.1:-1",
    "10.0.0.1: 1",
  ]) {
    assert.throws(() => parseEndpoint(text), /not an address and a port/);
  }
});

test("a service's workloads in turn, each service for itself; the rest goes where it was going", () => {
  const services = ["10.96.0.1:80=10.0.0.1:8080,10.0.0.2:8080", "10.96.0.2:80=10.0.0.3:8080,10.0.0.4:8080"];
  const pick = createPicker(parseServices(services));
  const to = (text: string) => formatEndpoint(pick(parseEndpoint(text)));
  assert.is(to("10.96.0.1:80"), "10.0.0.1:8080");
  assert.is(to("10.96.0.2:80"), "10.0.0.3:8080");
  assert.is(to("10.96.0.1:80"), "10.0.0.2:8080");
  assert.is(to("10.96.0.1:80"), "10.0.0.1:8080");
  assert.is(to("10.96.0.1:81"), "10.96.0.1:81");
  for (const text of ["", "10.96.0.1:80", "10.96.0.1:80=", "10.96.0.1:80=10.0.0.1:1=10.0.0.2:1"]) {
    assert.throws(() => parseServices([text]), RangeError);
  }
});

test("first bytes", () => {
  const kind = (text: string) => classify(Buffer.from(text, "latin1"));
  for (const text of ["GET / HTTP/1.1\r\n", "OPTIONS * HTTP/1.1", "DELETE /"]) assert.is(kind(text), "http");
  for (const text of ["", "G", "GET", "OPTIONS", "P"]) assert.is(kind(text), "more");
  for (const text of ["PRI * HTTP/2.0", "\x16\x03\x01", "GETTER", "get / ", "SSH-2.0", "OPTIONSX"])
    assert.is(kind(text), "tcp");
});

test.run();
