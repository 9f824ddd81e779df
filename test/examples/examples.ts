/** The tests of folders of deploy/examples: the model, the kernel and the README each say what is expected. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseQuestion } from "../../src/cli/explainQuestion.js";
import { parseAddress } from "../../src/model/address.js";
import { podName } from "../../src/model/pod.js";
import { explain } from "../../src/policy/explain.js";
import { type ExampleBed, openExampleBed } from "./bed.js";
import { type Expectation, type Folder, readFolder, root } from "./folder.js";
import { checkReadme } from "./readme.js";

const textOf = ({ pod, as, from, to, inbound }: Expectation): string =>
  to === "" ? `${pod} inbound ${inbound}` : `${pod} ${as} to ${to}${from === "" ? "" : ` from ${from}`}`;

function model({ snapshot, options }: Folder, expectation: Expectation): string {
  const { pod: name, as, from, to, inbound } = expectation;
  const pod = snapshot.pods.find((each) => podName(each) === name);
  if (pod === undefined) throw new Error(`no pod ${name}`);
  const question = parseQuestion(
    to === "" ? { inbound, udp: false } : { to, as, udp: false, ...(from === "" ? {} : { from }) },
  );
  const addresses = pod.addresses.flatMap((text) => parseAddress(text) ?? []);
  const context = { ...options, sidecars: snapshot.sidecars, mesh: snapshot.mesh };
  const { verdict, reason, to: proxy } = explain(pod, context, addresses, question);
  return [verdict, reason, ...(proxy ?? "").split(" ")].join(" ").trim();
}

/** Who is to answer, and what it is to see. */
function wantedAnswer({ to, inbound, verdict, proxy }: Expectation, address: string): Partial<Record<string, string>> {
  const asked = to === "" ? `${address}:${inbound}` : to;
  if (verdict === "redirect") {
    // On the way in nothing is rewritten; on the way out the proxy is called at its own address, by the pod's.
    return proxy.endsWith(":15006") && to === ""
      ? { who: "inbound", local: asked, original: asked }
      : { who: proxy.endsWith(":15006") ? "inbound" : "outbound", peer: address, original: asked };
  }
  const [host = ""] = asked.split(":");
  return { who: host === address || host.startsWith("127.") ? "pod" : "outside", local: asked };
}

/** The programs do not see a pod that is not captured. */
const uncounted = ["unknown-pod", "mode-none", "foreign-netns"];

async function kernel(bed: ExampleBed, folder: Folder, expectation: Expectation): Promise<string[]> {
  const { pod: name, to, verdict, reason } = expectation;
  const direction = to === "" ? "inbound" : "outbound";
  const count = (): bigint =>
    bed
      .counted(name)
      .filter((each) => each.direction === direction && each.verdict === verdict && each.reason === reason)
      .reduce((sum, each) => sum + each.count, 0n);
  const before = count();
  const answer: Partial<Record<string, string>> = { ...(await bed.call(expectation)) };
  const after = count();
  const address = folder.snapshot.pods.find((pod) => podName(pod) === name)?.addresses[0] ?? "";
  const wrong = Object.entries(wantedAnswer(expectation, address))
    .filter(([key, value]) => answer[key] !== value)
    .map(([key, value]) => `${textOf(expectation)}: ${key} is ${answer[key] || "nothing"}, not ${value}`);
  if (!uncounted.includes(reason) && after <= before)
    wrong.push(`${textOf(expectation)}: not counted as ${verdict} ${reason}`);
  return wrong;
}

/**
 * Registers and runs the tests of some folders, on one agent.
 * @param kind of lab, of this file's own.
 */
export function testExamples(kind: string, names: readonly string[]): void {
  let bed: ExampleBed | undefined;
  // The READMEs' commands are to be given where the repository is.
  test.before(async () => {
    process.chdir(root);
    bed = await openExampleBed(kind);
  });
  test.after(() => bed?.close());

  for (const name of names) {
    test(name, async () => {
      if (bed === undefined) throw new Error("no bed");
      const folder = readFolder(name);
      assert.ok(existsSync(join(folder.path, "README.md")));
      assert.ok(folder.readme.startsWith("# "), "a title");
      const files = readdirSync(folder.path).sort();
      const known = [...folder.manifests, "README.md", "expect.yaml", ...(folder.config ? ["config.yaml"] : [])].sort();
      assert.equal(files, known, "nothing that no test reads");

      const said = folder.expectations.map((each) => `${textOf(each)}: ${model(folder, each)}`);
      const wanted = folder.expectations.map((each) =>
        `${textOf(each)}: ${each.verdict} ${each.reason} ${each.proxy}`.trim(),
      );
      assert.equal(said, wanted, "the model");
      assert.equal(await checkReadme(folder.readme), [], "the README");

      await bed.enter(folder);
      const wrong: string[] = [];
      for (const each of folder.expectations) wrong.push(...(await kernel(bed, folder, each)));
      assert.equal(wrong, [], "the kernel");
    });
  }
  test.run();
}
