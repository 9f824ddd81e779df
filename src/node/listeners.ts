/** TCP listeners of a network namespace, as /proc/PID/net shows them (net/ipv4/tcp_ipv4.c, get_tcp4_sock()). */
import { readFileSync } from "node:fs";

/** `TCP_LISTEN` of <net/tcp_states.h>. */
const listening = "0A";

/**
 * @param text of /proc/PID/net/tcp or tcp6. Lines of another form are passed over.
 * @returns the ports on which somebody listens on every address (0.0.0.0 or ::).
 */
export function parseWildcardListeners(text: string): Set<number> {
  const ports = text.split("\n").flatMap((line) => {
    const [, local = "", , state] = line.trim().split(/\s+/);
    const [, port = ""] = /^0+:([0-9A-F]{4})$/.exec(local) ?? [];
    return state === listening && port !== "" ? [Number.parseInt(port, 16)] : [];
  });
  return new Set(ports);
}

/**
 * Whether an IPv4 connection to any address of loopback finds a listener there. A listener on :: counts: most take
 * IPv4 too, and /proc does not tell which do not.
 * @param pid of a process in the namespace. One that has ended has none.
 */
export function listensEverywhere(pid: number, port: number): boolean {
  return ["tcp", "tcp6"].some((name) => {
    try {
      return parseWildcardListeners(readFileSync(`/proc/${pid}/net/${name}`, "utf8")).has(port);
    } catch {
      return false; // it ended, or the machine has no IPv6
    }
  });
}
