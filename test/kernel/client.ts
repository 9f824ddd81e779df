/** The client of originClient.ts in a pod, to be asked again and again. */
import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import type { LabPod } from "../../src/demo/labPod.js";
import { launch, type Place } from "../../src/demo/process.js";
import { script } from "./bed.js";
import type { Request, Result } from "./originClient.js";

export interface Client {
  ask(request: Request): Promise<Result[]>;
}

/** @param ids real uid and gid of the process. @throws Error if it does not start. */
export function startClient(
  pod: LabPod,
  ids: { uid: number; gid: number } = { uid: 1000, gid: 1000 },
): Promise<Client> {
  const child = pod.spawn(script("originClient.ts"), { container: "app", ...ids, stdio: ["pipe", "pipe", "inherit"] });
  return talkTo(child);
}

/** In a cgroup and a namespace that do not belong together. The caller's lab ends it: its cgroup is the lab's. */
export function startClientAt(place: Place): Promise<Client> {
  return talkTo(launch(place, script("originClient.ts"), { stdio: ["pipe", "pipe", "inherit"] }));
}

async function talkTo(child: ChildProcess): Promise<Client> {
  const { stdin, stdout } = child;
  if (stdin === null || stdout === null) throw new Error("no pipes");
  const lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => {
    const line = await lines.next();
    if (line.done === true) throw new Error("the client ended");
    return line.value;
  };
  await next();
  return {
    async ask(request) {
      stdin.write(`${JSON.stringify(request)}\n`);
      return (JSON.parse(await next()) as { results: Result[] }).results;
    },
  };
}
