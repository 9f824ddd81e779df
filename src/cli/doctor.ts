/** `shunt doctor`: can this kernel and this node do it, and who else is here. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import { artifact } from "../kernel/artifact.js";
import { pinDirectory } from "../kernel/datapath.js";
import { findCgroup2, readMounts } from "../kernel/mounts.js";
import { type Native, native } from "../kernel/native.js";
import { cannotReset } from "../kernel/tcpSockets.js";
import { bindContract } from "../maps/contract.js";
import { readCounters } from "../maps/counts.js";
import { findPodRoots } from "../node/root.js";
import { defaultBpffs, parseOptions } from "./options.js";

export const doctorHelp = `Usage: shunt doctor [--cgroup-root P] [--bpffs P] [--json]

Tries on this kernel what the agent does, by loading small programs, and looks at who else is here: other
programs on the pods' cgroup, what an earlier agent left, several cgroup2 mounts. Exit code 3 if the agent
cannot run here.

  --cgroup-root P   the pods' root cgroup (default: the one that kubelet made)
  --bpffs P         where programs and maps are pinned (default: ${defaultBpffs})
`;

export interface Check {
  readonly name: string;
  /** `fail`: the agent cannot run. `note`: worth knowing. */
  readonly state: "ok" | "note" | "fail";
  readonly detail: string;
}

/** `enum bpf_attach_type` of <linux/bpf.h>: the hooks that we share with whoever else is there. */
const hooks = { sock_ops: 3, connect4: 10, getsockopt: 21, getpeername4: 29 } as const;
function kernelChecks(addon: Native): Check[] {
  const btf = existsSync("/sys/kernel/btf/vmlinux");
  const features = addon.probe();
  return [
    { name: "kernel", state: "ok", detail: `${release()}, libbpf ${addon.libbpf}` },
    {
      name: "BTF",
      state: btf ? "ok" : "fail",
      detail: btf ? "/sys/kernel/btf/vmlinux" : "the kernel has none: it needs CONFIG_DEBUG_INFO_BTF, as Debian's have",
    },
    ...features.map(
      (feature): Check => ({
        name: feature.name,
        state: feature.ok ? "ok" : "fail",
        detail: feature.ok
          ? `since ${feature.since}`
          : `${feature.why}; it is there since ${feature.since}; needed: ${feature.needed}`,
      }),
    ),
  ];
}

/** What only a flag needs. */
async function flagChecks(addon: Native): Promise<Check[]> {
  const why = await cannotReset(addon);
  return [{ name: "--reset-leaked", state: why === "" ? "ok" : "note", detail: why || "SOCK_DESTROY" }];
}

function mountChecks(bpffs: string): Check[] {
  const mounts = readMounts();
  const cgroup2 = mounts.filter((mount) => mount.type === "cgroup2").map((mount) => mount.target);
  const bpf = mounts.some((mount) => mount.type === "bpf" && mount.target === bpffs);
  const leftovers = existsSync(pinDirectory(bpffs)) ? readdirSync(pinDirectory(bpffs)) : [];
  return [
    {
      name: "cgroup2",
      state: cgroup2.length === 1 ? "ok" : "note",
      detail:
        cgroup2.length === 0
          ? "not mounted: the agent mounts it for itself"
          : cgroup2.length === 1
            ? `${cgroup2[0]}`
            : `mounted ${cgroup2.length} times: ${cgroup2.join(", ")}`,
    },
    { name: "bpffs", state: bpf ? "ok" : "note", detail: bpf ? bpffs : `none at ${bpffs}: the agent mounts it` },
    {
      name: "pins",
      state: leftovers.length === 0 ? "ok" : "note",
      detail:
        leftovers.length === 0
          ? "none"
          : `an agent runs, or one has left its programs on purpose: ${leftovers.join(", ")} under ${pinDirectory(bpffs)}`,
    },
  ];
}

/**
 * Who else is on the hooks, on the pods' root and above it. Those above run after ours, so they see what ours
 * rewrote; one attached with BPF_F_PREORDER (kernel 6.16) runs before, and the kernel does not tell which is.
 */
function neighbourChecks(addon: Native, cgroupRoot: string | undefined): Check[] {
  const mount = findCgroup2(readMounts())?.target;
  if (mount === undefined) return [];
  const roots = cgroupRoot === undefined ? findPodRoots(mount) : [cgroupRoot];
  const found: Check = {
    name: "pods' cgroup",
    state: roots.length === 1 ? "ok" : "note",
    detail: roots.join(", ") || `none under ${mount}: kubelet does not run here; name one with --cgroup-root`,
  };
  const places = [...new Set([mount, ...roots])];
  const others = places.flatMap((place) =>
    Object.entries(hooks).flatMap(([hook, type]): Check[] => {
      const { programIds } = addon.queryCgroup(place, type);
      const names = programIds.map((id) => addon.programById(id).name).filter((name) => !name.startsWith("shunt_"));
      if (names.length === 0) return [];
      return [{ name: `${hook} on ${place}`, state: "note", detail: names.join(", ") }];
    }),
  );
  return [found, ...others];
}

/** What the programs that are in the kernel have met. */
function limitChecks(addon: Native, bpffs: string): Check[] {
  const object = artifact("shunt.bpf.o");
  const contract = bindContract(addon.readBtf(readFileSync(object), object));
  const path = join(pinDirectory(bpffs), `maps-${contract.hash}`, "counters");
  if (!existsSync(path)) return [];
  const map = addon.openPinnedMap(path);
  try {
    const count = readCounters(map, contract).get("proxy-narrow") ?? 0n;
    if (count === 0n) return [];
    const why = "of such a pod about 28,000 can be open at once; one that listens on 0.0.0.0 has eight times as many";
    return [{ name: "port limit", state: "note", detail: `${count} redirects to proxies on 127.0.0.1 alone: ${why}` }];
  } finally {
    map.close();
  }
}

/** @returns whether the agent can run here. */
export async function doctor(args: readonly string[], print: (text: string) => void): Promise<boolean> {
  const values = parseOptions("doctor", args, {
    "cgroup-root": { type: "string" },
    bpffs: { type: "string", default: defaultBpffs },
    json: { type: "boolean", default: false },
  });
  const addon = native();
  const root = process.getuid?.() === 0;
  const checks: Check[] = [
    { name: "root", state: root ? "ok" : "fail", detail: root ? "yes" : "run it as root: it has to load programs" },
    ...(root
      ? [
          ...kernelChecks(addon),
          ...(await flagChecks(addon)),
          ...mountChecks(values.bpffs),
          ...neighbourChecks(addon, values["cgroup-root"]),
          ...limitChecks(addon, values.bpffs),
        ]
      : []),
  ];
  const able = checks.every((check) => check.state !== "fail");
  if (values.json) print(JSON.stringify({ able, checks }));
  else {
    const width = Math.max(...checks.map((check) => check.name.length));
    const mark = { ok: "ok  ", note: "note", fail: "FAIL" };
    for (const check of checks) print(`${mark[check.state]}  ${check.name.padEnd(width)}  ${check.detail}`);
    print(able ? "\nshunt can run here" : "\nshunt cannot run here: see FAIL above");
  }
  return able;
}
