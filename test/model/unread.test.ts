import { test } from "uvu";
import * as assert from "uvu/assert";
import { isNothing, joinUnread, mayConcern, nothingUnread, unreadSidecars } from "../../src/model/unread.js";

const concerned = (unread: Parameters<typeof mayConcern>[0]): string =>
  ["a", "b", "root"].filter((namespace) => mayConcern(unread, namespace, "root")).join();

test("a Sidecar concerns its namespace, one of the root namespace or without a name everybody, as does the mesh", () => {
  assert.is(concerned(nothingUnread), "");
  assert.is(concerned({ sidecars: unreadSidecars(["a/x", "a/y"]), mesh: false }), "a");
  assert.is(concerned({ sidecars: unreadSidecars(["root/x"]), mesh: false }), "a,b,root");
  assert.is(concerned({ sidecars: unreadSidecars(["a/x", undefined]), mesh: false }), "a,b,root");
  assert.is(concerned({ sidecars: new Set(), mesh: true }), "a,b,root");
});

test("several together are each of them", () => {
  const a = { sidecars: unreadSidecars(["a/x"]), mesh: false };
  const b = { sidecars: unreadSidecars(["b/x"]), mesh: false };
  assert.is(concerned(joinUnread([a, nothingUnread, b])), "a,b");
  assert.is(concerned(joinUnread([a, { sidecars: "all", mesh: false }])), "a,b,root");
  assert.is(concerned(joinUnread([a, { sidecars: new Set(), mesh: true }])), "a,b,root");
  assert.ok(isNothing(joinUnread([])) && isNothing(nothingUnread));
  assert.not(isNothing(a));
});

test.run();
