/** A real Prometheus of its own: configuration and storage in a directory that goes with it. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Prometheus {
  /** An instant query. @returns labels (without job and instance) and value of each series. */
  query(expression: string): Promise<{ labels: Record<string, string>; value: number }[]>;
  /** Asks again until the answer fits. @throws Error with the last answer after `deadline` ms. */
  until(expression: string, fits: (values: number[]) => boolean, deadline?: number): Promise<number[]>;
  close(): Promise<void>;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Ends with this process, however that ends. */
function start(directory: string, port: number): ChildProcess {
  const flags = [
    `--config.file=${join(directory, "prometheus.yml")}`,
    `--storage.tsdb.path=${join(directory, "data")}`,
    `--web.listen-address=127.0.0.1:${port}`,
    "--log.level=warn",
  ];
  return spawn("setpriv", ["--pdeathsig", "SIGKILL", "--", "prometheus", ...flags], {
    stdio: ["ignore", "ignore", "pipe"],
  });
}

/** @param target `127.0.0.1:15099`, scraped every second. @throws Error with what it said if it does not start. */
export async function startPrometheus(target: string): Promise<Prometheus> {
  const directory = mkdtempSync(join(tmpdir(), "shunt-prometheus-"));
  const config = {
    global: { scrape_interval: "1s", scrape_timeout: "1s" },
    scrape_configs: [{ job_name: "shunt", static_configs: [{ targets: [target] }] }],
  };
  // JSON is YAML.
  writeFileSync(join(directory, "prometheus.yml"), JSON.stringify(config));
  const port = await freePort();
  const child = start(directory, port);
  let said = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const close = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    await ended;
    rmSync(directory, { recursive: true, force: true });
  };

  const query = async (expression: string) => {
    const url = `http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(expression)}`;
    const { data } = (await (await fetch(url)).json()) as {
      data: { result: { metric: Record<string, string>; value: [number, string] }[] };
    };
    return data.result.map(({ metric: { job: _job, instance: _instance, ...labels }, value }) => {
      return { labels, value: Number(value[1]) };
    });
  };

  try {
    const end = Date.now() + 30_000;
    const ready = async (): Promise<boolean> =>
      (await fetch(`http://127.0.0.1:${port}/-/ready`).catch(() => undefined))?.ok === true;
    while (!(await ready())) {
      if (child.exitCode !== null || Date.now() > end) throw new Error(`prometheus does not start: ${said}`);
      await pause(100);
    }
  } catch (error) {
    await close();
    throw error;
  }
  return {
    query,
    close,
    async until(expression, fits, deadline = 20_000) {
      const end = Date.now() + deadline;
      for (;;) {
        const values = (await query(expression)).map(({ value }) => value);
        if (fits(values)) return values;
        if (Date.now() > end) throw new Error(`${expression} is ${JSON.stringify(values)} after ${deadline} ms`);
        await pause(100);
      }
    },
  };
}
