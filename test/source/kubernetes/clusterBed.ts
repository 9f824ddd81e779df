/** A cluster to test with: the double, or a real API server. What a test does to it goes through here. */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { Agent } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Access, accessTo } from "../../../src/source/kubernetes/access.js";
import { type ApiRequest, type Client, openClient } from "../../../src/source/kubernetes/client.js";
import { openApiDouble } from "./apiDouble.js";
import { makeCertificate } from "./certificate.js";
import { openWire, type Wire } from "./wire.js";

export interface ClusterBed {
  /** Which of the two it is. */
  readonly kind: string;
  /** Of the agent. */
  readonly kubeconfig: string;
  /** Of an administrator; it does not go through the wire. */
  readonly adminKubeconfig: string;
  /** Between the agent and the server. */
  readonly wire: Wire;
  /** As the administrator. @throws ApiError if it is refused. */
  admin(
    path: string,
    request?: Pick<ApiRequest, "method" | "body" | "contentType"> & { delete?: true },
  ): Promise<unknown>;
  /** From now on Sidecars are served under these versions; none: the kind is not known. */
  serveSidecars(...versions: readonly string[]): Promise<void>;
  /** Makes every version but the present one unknown to the server. */
  forgetHistory(): Promise<void>;
  /** Takes the right to read a resource away from the agent, and gives all of them back. */
  forbid(resource: string): Promise<void>;
  allow(): Promise<void>;
  /** The agent's token is worth nothing any more, and its file holds another. */
  rotateToken(): Promise<void>;
  /**
   * New connections are shown a certificate of an authority that the agent's kubeconfig does not name.
   * @returns what puts it there.
   */
  rotateAuthority(): Promise<() => void>;
  /** Ends the server, as a crash does, and starts another on the same data. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

export interface KubeconfigOptions {
  readonly server: string;
  readonly tokenFile: string;
  readonly cluster: Readonly<Record<string, unknown>>;
}

/** JSON is YAML. */
export function kubeconfigText({ server, tokenFile, cluster }: KubeconfigOptions): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    "current-context": "here",
    clusters: [{ name: "here", cluster: { server, ...cluster } }],
    users: [{ name: "agent", user: { tokenFile } }],
    contexts: [{ name: "here", context: { cluster: "here", user: "agent" } }],
  });
}

/** What tests that were killed left. */
function sweep(): void {
  for (const name of readdirSync(tmpdir())) {
    const pid = /^shunt-cluster-(\d+)-/.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`))
      rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
}

/** Files of a bed. */
export function scratch(): { path(name: string): string; write(name: string, text: string): string; remove(): void } {
  sweep();
  const directory = mkdtempSync(join(tmpdir(), `shunt-cluster-${process.pid}-`));
  const path = (name: string): string => join(directory, name);
  return {
    path,
    write(name, text) {
      writeFileSync(path(name), text, { mode: 0o600 });
      return path(name);
    },
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}

export interface Admin {
  readonly ask: ClusterBed["admin"];
  /** Reads kubeconfig and authority again at the next request. */
  renew(): void;
}

/** Unlike the agent's, its requests are many: what they need is read once, and connections are used again. */
export function adminOf(kubeconfig: string): Admin {
  const read = accessTo(kubeconfig);
  let kept: Access | undefined;
  const access = async (): Promise<Access> => {
    if (kept === undefined) {
      const { server, request } = await read();
      kept = { server, request: { ...request, agent: new Agent({ keepAlive: true, ca: request.ca }) } };
    }
    return kept;
  };
  const client: Client = openClient(access, "test");
  return {
    ask(path, request = {}) {
      const { delete: deleted, method = "GET", ...rest } = request;
      const signal = AbortSignal.timeout(60_000);
      // The agent deletes nothing, so its client does not know how.
      const verb = (deleted ? "DELETE" : method) as "GET";
      return client.json({ path, method: verb, ...rest, silence: 30_000, signal });
    },
    renew() {
      const { agent } = kept?.request ?? {};
      if (agent instanceof Agent) agent.destroy();
      kept = undefined;
    },
  };
}

/** @param bookmarks ms between those that the double sends; a real server's come once a minute. */
export async function openDoubleBed(bookmarks = 200): Promise<ClusterBed> {
  const files = scratch();
  const certificate = makeCertificate();
  const double = await openApiDouble({ bookmarks, certificate });
  const wire = await openWire(double.port);
  const config = (port: number, tokenFile: string, authority: string): string => {
    const cluster = { "certificate-authority": files.path(authority) };
    return kubeconfigText({ server: `https://127.0.0.1:${port}`, tokenFile, cluster });
  };
  const trust = ({ cert }: { readonly cert: string }, ...authorities: readonly string[]): void => {
    for (const authority of authorities) files.write(authority, cert);
  };
  trust(certificate, "authority.crt", "admin.crt");
  double.tokens.add("token-1");
  const tokenFile = files.write("token", "token-1\n");
  const adminToken = files.write("admin-token", "admin");
  const adminKubeconfig = files.write("admin.yaml", config(double.port, adminToken, "admin.crt"));
  const admin = adminOf(adminKubeconfig);
  let tokens = 1;
  return {
    kind: "the double",
    kubeconfig: files.write("agent.yaml", config(wire.port, tokenFile, "authority.crt")),
    adminKubeconfig,
    wire,
    admin: admin.ask,
    async serveSidecars(...versions) {
      double.serveSidecars(versions);
    },
    async forgetHistory() {
      double.compact();
    },
    async forbid(resource) {
      double.forbidden.add(resource);
    },
    async allow() {
      double.forbidden.clear();
    },
    async rotateToken() {
      double.tokens.clear();
      double.tokens.add(`token-${++tokens}`);
      files.write("token", `token-${tokens}\n`);
    },
    async rotateAuthority() {
      const next = makeCertificate();
      double.useCertificate(next);
      trust(next, "admin.crt");
      admin.renew();
      return () => trust(next, "authority.crt");
    },
    async restart() {
      wire.cut();
    },
    async close() {
      admin.renew();
      await wire.close();
      await double.close();
      files.remove();
    },
  };
}
