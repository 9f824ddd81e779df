/** endpoint.c in pods: who answers, as whom, and what it has heard. */
import { createInterface } from "node:readline";
import type { LabPod } from "../../src/demo/labPod.js";
import { command } from "../../src/demo/process.js";

export interface Place {
  readonly pod: LabPod;
  readonly container: string;
  readonly uid?: number;
  readonly gid?: number;
}

export interface Listener {
  readonly pid: number;
  say(word: "shutdown" | "listen" | "close"): Promise<void>;
  end(): Promise<void>;
}

export interface Endpoints {
  /** Resolves when it listens. It answers as `name`. */
  listen(place: Place, name: string, address: string, port: number, ...flags: readonly string[]): Promise<Listener>;
  /** @returns what was answered: name, local address, peer, original destination; or an errno's name. */
  call(place: Place, address: string, port: number, ...flags: readonly string[]): Promise<string>;
}

/** @param directory where the program is compiled to. */
export async function makeEndpoints(directory: string): Promise<Endpoints> {
  const program = `${directory}/endpoint`;
  await command(["gcc", "-O2", "-o", program, new URL("endpoint.c", import.meta.url).pathname]);
  const ids = ({ container, uid, gid }: Place) => ({
    container,
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
  });
  return {
    async listen(place, name, address, port, ...flags) {
      const argv = [program, "listen", name, address, `${port}`, ...flags] as const;
      const child = place.pod.spawn(argv, { ...ids(place), stdio: ["pipe", "pipe", "inherit"] });
      const ended = new Promise((resolve) => child.once("exit", resolve));
      const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
      const hear = async (wanted: string): Promise<void> => {
        const { value } = await lines.next();
        if (value !== wanted) throw new Error(`${name} said ${value}, not ${wanted}`);
      };
      await hear("listening");
      return {
        pid: child.pid ?? 0,
        async say(word) {
          child.stdin?.write(`${word}\n`);
          await hear("done");
        },
        async end() {
          child.kill("SIGKILL");
          await ended;
        },
      };
    },
    async call(place, address, port, ...flags) {
      const argv = [program, "connect", address, `${port}`, ...flags] as const;
      const { stdout, stderr } = await place.pod.exec(argv, ids(place));
      return (stdout + stderr).trim();
    },
  };
}
