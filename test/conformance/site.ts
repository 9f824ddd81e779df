/**
 * A pod and everybody whom it can talk to: the same place for iptables and for Shunt, down to the addresses. Two of
 * them can be open at once, since each is a lab of its own.
 */
import type { ChildProcess } from "node:child_process";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { type Lab, openLab } from "../../src/demo/lab.js";
import type { LabPod } from "../../src/demo/labPod.js";
import { command, firstLine, launch } from "../../src/demo/process.js";
import { compilePrograms, type Programs } from "./programs.js";
import { type Arrival, formatSocket, parseArrival, type Socket } from "./sockets.js";

/** The pod's own addresses, its second interface and what lies behind that. */
export const place = {
  address: "100.64.1.2",
  address6: "fd00:64::2",
  /** The name that Istio's golden file uses. */
  interface: "not-istio-nic",
  second: "100.65.0.2",
  second6: "fd00:65::2",
  /** Reached through the second interface. */
  behindSecond: "198.51.100.0/24",
  behindSecond6: "2001:db8:51::/48",
  /** Addresses that calls from outside come from. */
  caller: "192.0.2.77",
  caller6: "2001:db8:77::1",
} as const;

export const proxyPorts = { "proxy-outbound": 15001, "proxy-inbound": 15006, dns: 15053 } as const;

export interface Site {
  readonly lab: Lab;
  readonly pod: LabPod;
  readonly programs: Programs;
  /** The proxy's listeners, in place of those that were there, as this user and group. */
  listen(uid: number, gid: number): Promise<void>;
  /** Opens them one after the other, in the order of the list. */
  ask(sockets: readonly Socket[]): Promise<Arrival[]>;
  /** Forgets connections that conntrack knows: their packets would go by the rules of before. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** Milliseconds for one socket. Whatever is sent arrives or is refused at once; this is for what would be a fault. */
const patience = 20_000;

/**
 * The node takes addresses for its own, so that destinations outside of the pod have a peer there: all but 100.0.0.0/8
 * and fd00::/8, where the pods are, and fe80::/10, or the neighbours would not be found. In the local table: an
 * address can answer only if it is found there.
 */
const outside4 = ["0.0.0.0/2", "64.0.0.0/3", "96.0.0.0/6", "101.0.0.0/8", "102.0.0.0/7", "104.0.0.0/5"];
const outside6 = ["2000::/3", "fc00::/8"];
const outsideRoutes = [
  ...[...outside4, "112.0.0.0/4", "128.0.0.0/1", ...outside6].map(
    (part) => `route add local ${part} dev lo table local`,
  ),
  `addr add ${place.caller}/32 dev lo`,
  `addr add ${place.caller6}/128 dev lo nodad`,
  "addr add 100.65.0.1/24 dev second",
  "addr add fd00:65::1/64 dev second nodad",
  "addr add fe80::1/64 dev second nodad",
  "link set second addrgenmode none up",
].join("\n");

const secondInterface = [
  `addr add ${place.second}/24 dev ${place.interface}`,
  `addr add ${place.second6}/64 dev ${place.interface} nodad`,
  // For the address that it would make by itself the kernel waits before it sends anything.
  `addr add fe80::2/64 dev ${place.interface} nodad`,
  `link set ${place.interface} addrgenmode none up`,
  `route add ${place.behindSecond} via 100.65.0.1`,
  `route add ${place.behindSecond6} via fd00:65::1`,
  // Envoy's inbound side binds it; 127.0.0.6 needs no address of its own.
  "addr add ::6/128 dev lo nodad",
].join("\n");

/**
 * @param ports that somebody is to listen on, in the pod and outside.
 * @param programs another site's, which is to be closed after this one; its own by default.
 */
export async function openSite(ports: readonly number[], programs?: Programs): Promise<Site> {
  const lab = await openLab({ kind: "conformance" });
  try {
    return await furnish(lab, programs ?? (await compilePrograms(lab.directory)), ports);
  } catch (error) {
    await lab.close();
    throw error;
  }
}

async function furnish(lab: Lab, programs: Programs, ports: readonly number[]): Promise<Site> {
  const { address, address6 } = place;
  const pod = await lab.pod({ namespace: "test", name: "conformance", uid: "c0", address, address6 });
  const ip = (netns: string, batch: string): Promise<string> =>
    command(["nsenter", `--net=${netns}`, "ip", "-batch", "-"], batch);
  await ip(lab.node, `link add second type veth peer name ${place.interface} netns ${pod.netns}`);
  await ip(pod.netns, secondInterface);
  await ip(lab.node, outsideRoutes);

  const outside = { cgroup: dirname(lab.cgroupRoot), netns: lab.node };
  const stdio = ["pipe", "pipe", "inherit"] as const;
  const proxies = new Set<number>(Object.values(proxyPorts));
  const forApp = ports.filter((port) => !proxies.has(port)).join();
  const everywhere = [...new Set([...ports, ...proxies])].join();
  await Promise.all([
    firstLine(pod.spawn([programs.serve, "app", forApp], { container: "app" })),
    firstLine(launch(outside, [programs.serve, "peer", everywhere], {})),
  ]);
  const askers = {
    outbound: openAsker(pod.spawn([programs.ask, `${patience}`], { container: "app", stdio: [...stdio] })),
    inbound: openAsker(launch(outside, [programs.ask, `${patience}`], { stdio: [...stdio] })),
  };
  let proxy: ChildProcess | undefined;
  return {
    lab,
    pod,
    programs,
    async listen(uid, gid) {
      if (proxy !== undefined) {
        const ended = new Promise((resolve) => proxy?.once("exit", resolve));
        proxy.kill("SIGKILL");
        await ended;
      }
      const roles = Object.entries(proxyPorts).flatMap(([name, port]) => [name, `${port}`]);
      proxy = pod.spawn([programs.serve, ...roles], { container: "istio-proxy", uid, gid });
      await firstLine(proxy);
    },
    async ask(sockets) {
      const arrivals = new Map<Socket, Arrival>();
      for (const direction of ["outbound", "inbound"] as const) {
        const own = sockets.filter((socket) => socket.direction === direction);
        const lines = await askers[direction](own.map(formatSocket));
        for (const [i, socket] of own.entries()) arrivals.set(socket, parseArrival(lines[i] ?? ""));
      }
      return sockets.map((socket) => arrivals.get(socket) ?? parseArrival(""));
    },
    async flush() {
      await askers.outbound(["flush"]);
    },
    close: () => lab.close(),
  };
}

/** @returns a function that writes a batch of lines and reads the answers, in the same order. */
function openAsker(child: ChildProcess): (lines: readonly string[]) => Promise<string[]> {
  const { stdin, stdout } = child;
  if (stdin === null || stdout === null) throw new Error("no pipes");
  const answers = createInterface({ input: stdout })[Symbol.asyncIterator]();
  return async (lines) => {
    stdin.write([...lines, "", ""].join("\n"));
    const found: string[] = [];
    for (;;) {
      const line = await answers.next();
      if (line.done === true) throw new Error(`the asking program ended after ${found.length} of ${lines.length}`);
      if (line.value === "") return found;
      found.push(line.value);
    }
  };
}
