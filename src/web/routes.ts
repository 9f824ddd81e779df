/** What the agent serves over HTTP. */
import type { Status } from "../model/status.js";
import type { Routes } from "./http.js";

export interface RouteOptions {
  readonly metrics: { readonly contentType: string; scrape(): Promise<string> };
  /** Undefined while the agent starts. */
  status(): Status | undefined;
}

/** Why pods are not steered yet, in words; "" if they are. */
export function notReady(status: Status | undefined): string {
  if (status === undefined) return "the programs are being loaded";
  if (status.ready) return "";
  return `${status.source.name} is being read: the programs are not attached yet`;
}

export function agentRoutes({ metrics, status }: RouteOptions): Routes {
  return {
    "/metrics": async () => ({ type: metrics.contentType, body: await metrics.scrape() }),
    // That it answers is the proof: the loop lives.
    "/healthz": () => ({ body: "ok\n" }),
    "/readyz": () => {
      const why = notReady(status());
      return why === "" ? { body: "ready\n" } : { status: 503, body: `not ready: ${why}\n` };
    },
  };
}
