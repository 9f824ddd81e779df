/** The built object, loaded, attached and used once. This process is the application and the proxy. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { artifact } from "../../src/kernel/artifact.js";
import { openDatapath } from "../../src/kernel/datapath.js";
import { native } from "../../src/kernel/native.js";
import { unload } from "../../src/kernel/unload.js";
import { bindContract } from "../../src/maps/contract.js";
import { faultsIn, readCounters, readVerdicts } from "../../src/maps/counts.js";
import { diff } from "../../src/maps/diff.js";
import { u64 } from "../../src/maps/layout.js";
import { Store } from "../../src/maps/store.js";
import { address, podState, policy, prefix } from "../samples.js";

/** What was seen; the test compares it with what has to be. */
export interface Used {
  /** SO_ORIGINAL_DST on the accepted socket. */
  readonly originalDestination: string;
  /** The peer's address as the proxy sees it. */
  readonly peer: string;
  /** getpeername() of the application's socket. */
  readonly asked: string;
  /** What the excluded call brought. */
  readonly excluded: string;
  readonly verdicts: readonly string[];
  readonly faults: readonly string[];
  /** What `unload` could not remove. */
  readonly held: readonly string[];
}

const bpffs = "/sys/fs/bpf";
const root = "/sys/fs/cgroup/kubepods";
const pod = `${root}/burstable/pod0f3c2a1e`;
const own = address("10.9.0.2");
const excluded = { prefix: prefix("198.18.0.0/15"), action: "bypass", reason: "excluded-range" } as const;
const rules = policy(1n, { ranges: [excluded] });

function originOf(socket: Socket): string {
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
  const { address, port } = native().originalDestination(fd, 0);
  return `${address.join(".")}:${port}`;
}

/** One redirected connection, seen from both ends. */
async function redirected(): Promise<Pick<Used, "originalDestination" | "peer" | "asked">> {
  const server = createServer();
  const seen = new Promise<{ originalDestination: string; peer: string }>((resolve) => {
    server.on("connection", (socket) => {
      resolve({ originalDestination: originOf(socket), peer: socket.remoteAddress ?? "" });
      socket.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(15001, "127.0.0.1", resolve));
  const app = connect(80, "203.0.113.9");
  app.resume();
  const asked = await new Promise<string>((resolve, reject) => {
    app.once("error", reject).once("connect", () => resolve(`${app.remoteAddress}:${app.remotePort}`));
  });
  const result = { ...(await seen), asked };
  server.close();
  return result;
}

export async function useDatapath(): Promise<Used> {
  const addon = native();
  execFileSync("ip", ["addr", "add", "10.9.0.2/32", "dev", "lo"]);
  mkdirSync(pod, { recursive: true });
  const objectName = artifact("shunt.bpf.o");
  const object = readFileSync(objectName);
  const contract = bindContract(addon.readBtf(object, objectName));
  // There is one network namespace here, so it must not be taken for the host's.
  const options = { native: addon, object, objectName, layout: contract.hash, bpffs, cgroupRoot: root };
  const datapath = openDatapath({ ...options, hostNetnsCookie: u64.encode(0n) });
  const { maps } = datapath;
  const store = new Store({ maps, contract, gracePeriod: () => addon.gracePeriod() });
  const cgroupId = statSync(pod, { bigint: true }).ino;
  const place = contract.cgroupPlace.decode(datapath.cgroupPlace(pod));
  if (place.id !== cgroupId || place.level !== 3)
    throw new Error(`cgroup ${cgroupId} is ${place.id} at level ${place.level}`);
  const { cookie } = await addon.inspectNetns("/proc/self/ns/net");
  const state = podState(cgroupId, 1n, { netnsCookie: cookie, ipv4: own, localAddresses: [own] });
  const { failures } = await store.apply(
    diff(store.have, { pods: new Map([[cgroupId, state]]), policies: new Map([[1n, rules]]) }),
  );
  if (failures[0] !== undefined) throw failures[0].error;
  maps.controls.store(0, contract.control.offset("first_level"), 2n);
  maps.controls.store(0, contract.control.offset("pod_levels"), 0b10n);
  datapath.attach();
  writeFileSync(`${pod}/cgroup.procs`, "0");

  const seen = await redirected();
  const excluded = await new Promise<string>((resolve) => {
    const socket = connect(80, "198.19.0.1");
    socket
      .once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
      .once("connect", () => resolve("connected"));
  });
  const verdicts = readVerdicts(maps.verdicts, contract).map(
    ({ verdict, reason, count }) => `${verdict} ${reason} ${count}`,
  );
  const faults = faultsIn(readCounters(maps.counters, contract)).map(([name, count]) => `${name} ${count}`);
  datapath.close();
  const { held } = await unload(addon, bpffs);
  return { ...seen, excluded, verdicts: verdicts.sort(), faults, held };
}
