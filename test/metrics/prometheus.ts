/** A real Prometheus of its own: configuration and storage in a directory that goes with it. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../freePort.js";

/** Labels (without job and instance) and value. */
export interface Series {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Prometheus {
  /** An instant query, again until the answer fits. @throws Error with the last answer after a minute. */
  until(expression: string, fits: (found: readonly Series[]) => boolean): Promise<readonly Series[]>;
  close(): Promise<void>;
}

/** ms. */
const deadline = 60_000;
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

  const query = async (expression: string): Promise<Series[]> => {
    const url = `http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(expression)}`;
    const { data } = (await (await fetch(url)).json()) as {
      data: { result: { metric: Record<string, string>; value: [number, string] }[] };
    };
    return data.result.map(({ metric: { job: _job, instance: _instance, ...labels }, value }) => {
      return { labels, value: Number(value[1]) };
    });
  };

  try {
    const end = Date.now() + deadline;
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
    close,
    async until(expression, fits) {
      const end = Date.now() + deadline;
      for (;;) {
        const found = await query(expression);
        if (fits(found)) return found;
        if (Date.now() > end) throw new Error(`${expression} is ${JSON.stringify(found)} after ${deadline} ms`);
        await pause(100);
      }
    },
  };
}
