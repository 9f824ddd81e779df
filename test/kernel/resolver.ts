/** Resolvers that know nothing of us, in pods, and a DNS server for them: dnsmasq. */
import { writeFileSync } from "node:fs";
import { command, firstLine } from "../../src/demo/process.js";
import type { Place } from "./endpoint.js";

export interface Resolvers {
  /**
   * dnsmasq, UDP and TCP; resolves when it listens. `name.test` is `answer` to it. Without addresses it listens on the
   * wildcard ones, and gives each UDP answer its source with IP_PKTINFO.
   */
  serve(place: Place, addresses: readonly string[], port: number, answer: string): Promise<void>;
  /** dns.c: a line for each server. */
  ask(place: Place, ...args: readonly string[]): Promise<string[]>;
  /** dig: what it was told, and by whom. */
  dig(place: Place, server: string, ...flags: readonly string[]): Promise<string>;
  /** getaddrinfo() with these nameservers in /etc/resolv.conf; options as resolv.conf(5) has them. */
  lookup(place: Place, library: "glibc" | "musl", servers: readonly string[], options?: string): Promise<string[]>;
  /** c-ares, as Node.js has it. */
  cares(place: Place, servers: readonly string[]): Promise<string[]>;
}

const ids = ({ container, uid, gid }: Place) => ({
  container,
  ...(uid === undefined ? {} : { uid }),
  ...(gid === undefined ? {} : { gid }),
});
const lines = (text: string): string[] => text.trim().split("\n");
/** Longer than any resolver here waits: only a broken answer comes near. */
const timeout = 120_000;

/** @param directory where the programs are compiled to. */
export async function makeResolvers(directory: string): Promise<Resolvers> {
  const source = (name: string): string => new URL(name, import.meta.url).pathname;
  const flags = ["-O2", "-Wall", "-Wextra", "-Werror"] as const;
  const program = (name: string): string => `${directory}/${name}`;
  await Promise.all([
    command(["gcc", ...flags, "-o", program("dns"), source("dns.c")]),
    command(["gcc", ...flags, "-o", program("glibc"), source("lookup.c")]),
    command(["musl-gcc", ...flags, "-static", "-o", program("musl"), source("lookup.c")]),
  ]);
  const run = async (place: Place, argv: readonly [string, ...string[]]): Promise<string> => {
    const { status, signal, stdout, stderr } = await place.pod.exec(argv, { ...ids(place), timeout });
    return stdout + stderr + (signal === null && status !== null ? "" : `\nended by ${signal}`);
  };
  return {
    async serve(place, addresses, port, answer) {
      const options = [
        ...["--keep-in-foreground", "--log-facility=-", "--pid-file=", "--conf-file=/dev/null"],
        ...["--no-resolv", "--no-hosts", `--port=${port}`],
        ...(addresses.length > 0 ? ["--bind-interfaces"] : []),
        ...addresses.map((address) => `--listen-address=${address}`),
        // The second is for AAAA, which would be refused; musl takes no refusal for an answer.
        ...[`--address=/name.test/${answer}`, "--local=/name.test/"],
      ];
      // It tells on stderr that it listens.
      const server = place.pod.spawn(["sh", "-c", 'exec dnsmasq "$@" 2>&1', "dnsmasq", ...options], ids(place));
      const said = await firstLine(server);
      if (!said.includes("started")) throw new Error(`dnsmasq: ${said}`);
    },
    ask: async (place, ...args) => lines(await run(place, [program("dns"), "name.test", ...args])),
    async dig(place, server, ...more) {
      const said = await run(place, ["dig", `@${server}`, "name.test", "+tries=1", "+time=30", ...more]);
      const told = /^name\.test\.\s.*\sA\s+(\S+)$/m.exec(said)?.[1];
      const by = /^;; SERVER: (\S+)\(.*\) \((.*)\)$/m.exec(said);
      if (told === undefined || by === null || said.includes("unexpected source")) throw new Error(said);
      return `${told} by ${by[1]} over ${by[2]}`;
    },
    async lookup(place, library, servers, options = "timeout:30 attempts:1") {
      const file = `${directory}/resolv.${servers.length}.${library}`;
      writeFileSync(file, `${servers.map((server) => `nameserver ${server}\n`).join("")}options ${options}\n`);
      const { uid = 0, gid = 0, ...rest } = place;
      const script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"';
      const drop = ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups", "--"];
      return lines(
        await run(rest, ["unshare", "-m", "sh", "-c", script, file, ...drop, program(library), "name.test"]),
      );
    },
    async cares(place, servers) {
      const script = `
        const resolver = new (require("node:dns").promises.Resolver)({ timeout: 30000, tries: 1 });
        resolver.setServers(process.argv.slice(1));
        resolver.resolve4("name.test").then((found) => console.log(found.join("\\n")), (error) => console.log(error.code));`;
      return lines(await run(place, [process.execPath, "-e", script, ...servers]));
    },
  };
}
