/** An example that lacks something is none; every folder is in the index, and is tested. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { pod } from "../policy/kit.js";
import { folderNames, groupOf, readExpectations, readFolder, root } from "./folder.js";
import { checkReadme, shownIn } from "./readme.js";

const web = { ...pod({ namespace: "a" }), name: "web" };
const db = { ...pod({ namespace: "a" }), name: "db" };
const one = (fields: string): string => `decisions: [{pod: a/web, ${fields}}]`;
const whole = one('to: "10.0.0.1:80", verdict: bypass, reason: excluded-port');

test("expectations", () => {
  const { expectations, problems } = readExpectations(`${whole}\nproblems: [x]`, [web]);
  assert.equal(problems, ["x"]);
  const empty = { from: "", inbound: "", proxy: "", listener: "" };
  const asked = { pod: "a/web", as: "app", to: "10.0.0.1:80", verdict: "bypass", reason: "excluded-port" };
  assert.equal(expectations, [{ ...asked, ...empty }]);
});

const refused: readonly (readonly [yaml: string, why: RegExp])[] = [
  ["{}", /nothing is expected of a\/web/],
  ["decisions: [{pod: a/web}]", /decisions\.0\.verdict/],
  ["decisions: 1", /expected array/],
  [one('verdict: bypass, reason: x, to: "1:1", inbound: "1"'), /either to or inbound/],
  [one("verdict: bypass, reason: x"), /either to or inbound/],
  [one('verdict: pass, reason: x, inbound: "1"'), /no such verdict/],
  [one('verdict: redirect, reason: x, inbound: "1"'), /leads to the proxy/],
  [one('verdict: bypass, reason: x, inbound: "1", proxy: "p"'), /leads to the proxy/],
  [one('verdict: bypass, reason: x, inbound: "1", listener: "x"'), /listener is none/],
  [whole.replace("a/web", "a/other"), /no such pod/],
];
for (const [yaml, why] of refused)
  test(`refused: ${yaml}`, () => {
    assert.throws(() => readExpectations(yaml, [web]), why);
  });

test("a pod of which nothing is expected, and no pods at all", () => {
  assert.throws(() => readExpectations(whole, [web, db]), /nothing is expected of a\/db$/);
  assert.throws(() => readExpectations("{}", []), /no pods/);
});

test("what a README shows", () => {
  const readme = "# T\n\n```\n$ a  b \\\n  c\n1\n…\n2\n\n$ d\n3\n```\n\n```\nnot this\n```\n";
  assert.equal(shownIn(readme), [
    { command: "a b c", lines: ["1", "…", "2"] },
    { command: "d", lines: ["3"] },
  ]);
});

test("a README that shows something else than is printed", async () => {
  process.chdir(root);
  const readme = readFileSync(join(root, "deploy/examples/api-server/README.md"), "utf8");
  const wrong = async (from: string, to: string): Promise<string> =>
    (await checkReadme(readme.replace(from, to))).join();
  assert.is(await wrong("", ""), "");
  assert.match(
    await wrong("reason   excluded-range", "reason   included-all"),
    /"reason {3}included-all", where it prints/,
  );
  assert.match(await wrong("verdict  bypass\n", ""), /where it prints "verdict {2}bypass".*does not show the verdict/);
  assert.match(
    await wrong("$ node dist/shunt.js explain", "$ node dist/shunt.js status"),
    /only explain can be checked/,
  );
  assert.match(
    await wrong("run --manifests deploy/examples/api-server", "run --manifests deploy/examples/x"),
    /not there/,
  );
  assert.equal(await checkReadme("# nothing\n"), ["it shows no command"]);
});

test("every folder is whole, in the index under its title, and in a test file", async () => {
  process.chdir(root);
  const index = readFileSync(join(root, "deploy/examples/README.md"), "utf8");
  assert.equal(await checkReadme(index), []);
  const listed = [...index.matchAll(/^\| \[([^\]]+)\]\(([^)]+)\/\) \| (.+) \|$/gm)].map(([, name, path, title]) => {
    assert.is(name, path);
    return `${name}: ${title}`;
  });
  const titles = folderNames().map((name) => `${name}: ${readFolder(name).readme.split("\n")[0]?.replace("# ", "")}`);
  assert.equal(listed.toSorted(), titles.toSorted());
  const files = readdirSync(new URL(".", import.meta.url));
  for (const name of folderNames()) assert.ok(files.includes(`${groupOf(name)}.test.ts`), name);
});

test.run();
