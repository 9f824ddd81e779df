import { test } from "uvu";
import * as assert from "uvu/assert";
import { newestImage } from "./images.js";

const bookworm = [
  "linux-image-6.1.0-9-amd64",
  "linux-image-6.1.0-37-amd64",
  "linux-image-6.1.0-37-amd64-dbg",
  "linux-image-6.1.0-38-amd64-unsigned",
  "linux-image-6.1.0-40-rt-amd64",
  "linux-image-6.1.0-40-cloud-amd64",
  "linux-image-6.12.9+deb12-amd64",
  "linux-image-6.12.43+deb12-amd64",
  "linux-image-amd64",
  "linux-image-6.12-amd64",
  "linux-headers-6.1.0-99-amd64",
];

test("the newest by number, not by letter", () => {
  assert.equal(newestImage(bookworm, "6.1"), { release: "6.1.0-37-amd64", package: "linux-image-6.1.0-37-amd64" });
  assert.is(newestImage(bookworm, "6.12")?.release, "6.12.43+deb12-amd64");
  assert.is(newestImage(bookworm, "sid")?.release, "6.12.43+deb12-amd64");
});

test("6.1 is not 6.12, and not every version is there", () => {
  assert.is(newestImage(["linux-image-6.12.43+deb12-amd64"], "6.1"), undefined);
  assert.is(newestImage([], "6.1"), undefined);
});

test("a package of its own for the image", () => {
  const packages = ["linux-image-7.2.1+deb14-amd64", "linux-binary-7.2.1+deb14-amd64"];
  assert.is(newestImage(packages, "sid")?.package, "linux-binary-7.2.1+deb14-amd64");
});

test.run();
