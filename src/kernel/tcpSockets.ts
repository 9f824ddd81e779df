/** The TCP sockets of a network namespace: native/tcp_sockets.cc. */
import { statSync } from "node:fs";

/** A TCP socket, as sock_diag(7) shows it. */
export interface TcpSocket {
  /** Names this socket and no later one of the same addresses. */
  readonly handle: Uint8Array;
  /** As in <net/tcp_states.h>: 1 established, 10 listening. */
  readonly state: number;
  /** 4 bytes, or 16 of an AF_INET6 socket, whose peer may be v4-mapped. */
  readonly local: Uint8Array;
  /** Host order. */
  readonly localPort: number;
  readonly remote: Uint8Array;
  readonly remotePort: number;
  /** Who made it, in our user namespace. */
  readonly uid: number;
  /** Of its file, as in `socket:[4711]`; 0 if it has none any more. */
  readonly inode: number;
  /** In which it was made; 0n if the kernel does not tell. */
  readonly cgroupId: bigint;
}

/** Bits of `states`: <net/tcp_states.h>. */
export const tcpStates = {
  established: 1 << 1,
  synSent: 1 << 2,
  finWait1: 1 << 4,
  finWait2: 1 << 5,
  closeWait: 1 << 8,
  listen: 1 << 10,
} as const;

export interface NativeTcpSockets {
  /**
   * Those of a namespace in these states. Needs CAP_SYS_ADMIN, to enter it.
   * @param path e.g. /proc/PID/ns/net. @param inode of the namespace that is meant. @param states bit n: state n.
   * @throws ESTALE if the path is another's by now.
   */
  listTcpSockets(path: string, inode: number, states: number): Promise<TcpSocket[]>;
  /**
   * Ends sockets at once (SOCK_DESTROY): the peer gets a reset, whoever holds the socket ECONNABORTED. Needs
   * CAP_NET_ADMIN, too.
   * @param handles concatenated.
   * @returns for each "", or the errno's name: ENOENT for one that has gone, EOPNOTSUPP if the kernel was built
   *   without CONFIG_INET_DIAG_DESTROY. @throws as {@link listTcpSockets} does.
   */
  destroyTcpSockets(path: string, inode: number, handles: Uint8Array): Promise<string[]>;
}

/**
 * Whether this kernel ends sockets for us: asked for one that nobody has.
 * @returns "", or why not, in words.
 */
export async function cannotReset(native: NativeTcpSockets): Promise<string> {
  const own = "/proc/self/ns/net";
  const nobody = new Uint8Array(49);
  nobody[0] = 2; // AF_INET
  const [code = ""] = await native.destroyTcpSockets(own, statSync(own).ino, nobody);
  if (code === "ENOENT") return "";
  const built = code === "EOPNOTSUPP" ? ": the kernel was built without CONFIG_INET_DIAG_DESTROY" : "";
  return `connections cannot be ended (SOCK_DESTROY: ${code})${built}`;
}
