import { rm, writeFile } from "node:fs/promises";
import { command } from "./process.js";

/**
 * Network namespaces, held by bind mounts inside the lab's own directory. `ip netns add` would hold them in
 * /run/netns, which it first turns into a mount of its own that nobody takes away again.
 *
 * The pods hang on a node namespace that routes between them (each a veth and a /32, as Calico does): a pod may
 * have any address, no bridge module is needed, and the machine's own namespace stays as it is.
 */

/** A pod's next hop; every port of the node answers for it. */
const gateway = "169.254.1.1";
const gateway6 = "fe80::1";

/** @param path of the file that is to hold the namespace; must not exist. */
export async function makeNode(path: string): Promise<void> {
  await writeFile(path, "", { flag: "wx" });
  // IPv6 may be compiled out or disabled.
  const script = `echo 1 > /proc/sys/net/ipv4/ip_forward
    [ ! -e /proc/sys/net/ipv6 ] || echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
    exec ip link set lo up`;
  await command(["unshare", `--net=${path}`, "sh", "-ec", script]);
}

export interface PodNetwork {
  /** Of the file that is to hold the namespace; must not exist. */
  readonly path: string;
  /** Path of the node's namespace. */
  readonly node: string;
  /** Name of the veth's end in the node. */
  readonly port: string;
  readonly address: string;
  readonly address6?: string;
}

/** Makes a pod's namespace with lo and eth0 up and a default route over the node. If it fails, nothing is left. */
export async function makePodNetns(pod: PodNetwork): Promise<void> {
  await writeFile(pod.path, "", { flag: "wx" });
  const six = pod.address6;
  const inPod = [
    "link set lo up",
    `link add eth0 type veth peer name ${pod.port} netns ${pod.node}`,
    `addr add ${pod.address}/32 dev eth0`,
    // Without nodad the address cannot be used for a second or more.
    ...(six === undefined ? [] : [`addr add ${six}/128 dev eth0 nodad`]),
    "link set eth0 up",
    `route add default via ${gateway} dev eth0 onlink`,
    ...(six === undefined ? [] : [`route add default via ${gateway6} dev eth0`]),
  ];
  const inNode = [
    `addr add ${gateway}/32 dev ${pod.port}`,
    `link set ${pod.port} addrgenmode none up`,
    `route add ${pod.address}/32 dev ${pod.port}`,
    ...(six === undefined ? [] : [`addr add ${gateway6}/64 dev ${pod.port} nodad`]),
    ...(six === undefined ? [] : [`route add ${six}/128 dev ${pod.port}`]),
  ];
  try {
    await command(["unshare", `--net=${pod.path}`, "ip", "-batch", "-"], inPod.join("\n"));
    await command(["nsenter", `--net=${pod.node}`, "ip", "-batch", "-"], inNode.join("\n"));
  } catch (error) {
    await release(pod.path).catch(() => {}); // it may not have come to the mount; the veth goes with the namespace
    await rm(pod.path, { force: true });
    throw error;
  }
}

/** Disconnects a pod at once (both ends of the veth and the route) and lets go of its namespace. */
export async function removePodNetns(pod: Pick<PodNetwork, "path" | "node" | "port">): Promise<void> {
  await command(["nsenter", `--net=${pod.node}`, "ip", "link", "del", pod.port]);
  await release(pod.path);
  await rm(pod.path);
}

async function release(path: string): Promise<void> {
  await command(["umount", "--lazy", "--no-mtab", path]);
}
