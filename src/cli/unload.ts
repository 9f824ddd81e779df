/** `shunt unload`: everything out of the kernel, and the proof. */
import { NodeError } from "../errors.js";
import { releaseBpffs } from "../kernel/mounts.js";
import { native } from "../kernel/native.js";
import { unload as unloadDatapath } from "../kernel/unload.js";
import { defaultBpffs, parseOptions } from "./options.js";

export const unloadHelp = `Usage: shunt unload [--bpffs P] [--json]

Detaches every program, removes every link, pin and map, and asks the kernel whether they are gone. From then
on no socket is steered. Connections that were steered go on. Exit code 1 if anything is still held.

  --bpffs P   where they are pinned (default: ${defaultBpffs})
`;

/** @returns whether everything is gone. */
export async function unload(args: readonly string[], print: (text: string) => void): Promise<boolean> {
  const values = parseOptions("unload", args, {
    bpffs: { type: "string", default: defaultBpffs },
    json: { type: "boolean", default: false },
  });
  // Others may not look into a bpffs: to them there would seem to be nothing.
  if (process.getuid?.() !== 0) throw new NodeError("shunt unload must remove BPF programs: run it as root");
  const addon = native();
  const gone = await unloadDatapath(addon, values.bpffs);
  const unmounted = releaseBpffs(addon, values.bpffs);
  if (values.json) {
    print(JSON.stringify({ ...gone, unmounted: unmounted ? values.bpffs : null }));
    return gone.held.length === 0;
  }
  if (gone.links.length + gone.maps.length === 0) print(`nothing of shunt is pinned under ${values.bpffs}`);
  else
    print(`detached ${gone.links.join(", ") || "nothing"}\nremoved ${gone.maps.length} maps: ${gone.maps.join(", ")}`);
  if (unmounted) print(`unmounted ${values.bpffs}`);
  if (gone.held.length > 0) {
    print(
      `still in the kernel, detached, because a process holds them: ${gone.held.join(", ")}. End the agent that runs.`,
    );
  } else if (gone.links.length + gone.maps.length > 0) print("the kernel has none of them any more");
  return gone.held.length === 0;
}
