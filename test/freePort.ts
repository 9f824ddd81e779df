import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/**
 * A port of 127.0.0.1 for a server that has to be told one. Other tests ask the kernel for ports meanwhile, so it is not
 * only free: for a minute it is in TIME_WAIT, where the kernel gives it to nobody who asks for any port, neither to
 * listen nor to connect from (net/ipv4/inet_connection_sock.c, inet_csk_find_open_port()), and whoever asks for this
 * one with SO_REUSEADDR gets it, as servers in Go, libuv and libevent do.
 */
export async function freePort(): Promise<number> {
  const server = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const client = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const [accepted] = (await once(server, "connection")) as [Socket];
  const ends = [client, accepted].map((socket) => once(socket, "close"));
  client.resume();
  accepted.resume();
  // Who ends first is who waits.
  accepted.end();
  await once(client, "end");
  client.end();
  await Promise.all(ends);
  server.close();
  await once(server, "close");
  return port;
}
