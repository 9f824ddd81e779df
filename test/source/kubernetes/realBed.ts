/** A real kube-apiserver on a real etcd, on loopback, with the agent's rights as deploy/ gives them. */
import { type ChildProcess, spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { copyFileSync, openSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { loadAll } from "js-yaml";
import { ApiError } from "../../../src/source/kubernetes/client.js";
import { freePort } from "../../freePort.js";
import { type ApiDouble, openApiDouble } from "./apiDouble.js";
import { makeCertificate } from "./certificate.js";
import { adminOf, type ClusterBed, kubeconfigText, scratch } from "./clusterBed.js";
import { openWire } from "./wire.js";

/** Where the three programs are, by envtest's convention; "" if there are none. */
export const assets = process.env["KUBEBUILDER_ASSETS"] ?? "";

const rbac = fileURLToPath(new URL("../../../deploy/base/rbac.yaml", import.meta.url));
const accountPath = "/api/v1/namespaces/shunt-system/serviceaccounts";

async function end(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await exited;
}

/** That a version of Sidecar's group is served by a server behind this one. */
function apiService(version: string, priority: number, port: number): object {
  return {
    apiVersion: "apiregistration.k8s.io/v1",
    kind: "APIService",
    metadata: { name: `${version}.networking.istio.io` },
    spec: {
      group: "networking.istio.io",
      version,
      groupPriorityMinimum: 1000,
      versionPriority: priority,
      insecureSkipTLSVerify: true,
      service: { namespace: "default", name: "sidecars", port },
    },
  };
}

const collections: Readonly<Record<string, string>> = {
  ServiceAccount: "serviceaccounts",
  ClusterRole: "clusterroles",
  ClusterRoleBinding: "clusterrolebindings",
  Role: "roles",
  RoleBinding: "rolebindings",
};

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly rules?: readonly { readonly resources: readonly string[] }[];
}

function collectionOf({ apiVersion, kind, metadata }: Manifest): string {
  const group = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const inNamespace = metadata.namespace === undefined ? "" : `/namespaces/${metadata.namespace}`;
  return `${group}${inNamespace}/${collections[kind]}`;
}

/**
 * Sidecars are the double's, behind the real server's aggregation layer: names, versions, rights and streams are the
 * real one's. It must not be given custom resources, of which it dies (SIGSEGV below reflect2's UnsafeIterate): the
 * kube-apiserver 1.20.2 at hand was built with Go 1.19, whose mapiterinit takes one argument more than reflect2 1.0.1
 * gives it. Every decoding of a custom resource, from a request or from etcd, gets there before it looks at schema or
 * version (schemaCoercingDecoder, GetObjectMeta, json-iterator's Marshal of the metadata), so no flag avoids it; CRDs of
 * v1 and of v1beta1 with preserveUnknownFields were tried.
 * @param bookmarks ms between the double's.
 */
export async function openRealBed(bookmarks = 200): Promise<ClusterBed> {
  const files = scratch();
  const [etcdPort, peerPort, port] = [await freePort(), await freePort(), await freePort()];
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const accountKey = files.write("sa.key", privateKey.export({ type: "pkcs1", format: "pem" }).toString());
  const log = openSync(files.path("log"), "a");
  const start = (name: string, ...args: readonly string[]): ChildProcess =>
    // They die with us, however we end.
    spawn("setpriv", ["--pdeathsig", "SIGKILL", "--", join(assets, name), ...args], { stdio: ["ignore", log, log] });
  const etcdUrl = `http://127.0.0.1:${etcdPort}`;
  const etcd = start(
    "etcd",
    ...["--data-dir", files.path("etcd"), "--listen-client-urls", etcdUrl, "--advertise-client-urls", etcdUrl],
    ...["--listen-peer-urls", `http://127.0.0.1:${peerPort}`, "--unsafe-no-fsync"],
  );
  const tokens = files.write("tokens.csv", 'admin,admin,admin,"system:masters"\n');
  const startServer = (): ChildProcess =>
    start(
      "kube-apiserver",
      ...["--etcd-servers", etcdUrl, "--secure-port", `${port}`, "--bind-address", "127.0.0.1"],
      ...["--cert-dir", files.path("certificates"), "--token-auth-file", tokens, "--authorization-mode", "RBAC"],
      ...["--service-account-key-file", accountKey, "--service-account-signing-key-file", accountKey],
      ...["--service-account-issuer", "https://kubernetes.default.svc", "--service-cluster-ip-range", "10.96.0.0/16"],
      ...["--disable-admission-plugins", "ServiceAccount", "--allow-privileged"],
    );
  // Signed by itself, made by the server where there is none.
  const own = files.path("certificates/apiserver.crt");
  const config = (at: number, tokenFile: string, authority: string): string => {
    const cluster = { "certificate-authority": authority };
    return kubeconfigText({ server: `https://127.0.0.1:${at}`, tokenFile, cluster });
  };
  const adminKubeconfig = files.write("admin.yaml", config(port, files.write("admin-token", "admin"), own));
  const { ask: admin, renew } = adminOf(adminKubeconfig);
  const wire = await openWire(port);
  let server = startServer();

  const until = async (done: () => Promise<unknown>): Promise<void> => {
    for (let left = 600; ; left--) {
      try {
        await done();
        return;
      } catch (error) {
        if (left === 0 || server.exitCode !== null) {
          throw new Error(`${(error as Error).message}\n${readFileSync(files.path("log"), "utf8").slice(-2000)}`);
        }
        await sleep(100);
      }
    }
  };
  const manifests = loadAll(readFileSync(rbac, "utf8")) as Manifest[];
  const roles = manifests.filter(({ rules }) => rules !== undefined);
  const put = (manifest: Manifest): Promise<unknown> => {
    const path = `${collectionOf(manifest)}/${manifest.metadata.name}`;
    return admin(path, { method: "PATCH", body: manifest, contentType: "application/merge-patch+json" });
  };
  const trust = (): void => copyFileSync(own, files.path("authority.crt"));
  const newToken = async (): Promise<void> => {
    const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: { expirationSeconds: 3600 } };
    const made = await admin(`${accountPath}/shunt/token`, { method: "POST", body });
    files.write("token", `${(made as { status: { token: string } }).status.token}\n`);
  };
  let behind: ApiDouble | undefined;
  const close = async (): Promise<void> => {
    renew();
    await wire.close();
    await behind?.close();
    if (server.exitCode !== null || server.signalCode !== null) {
      console.error(`the API server died:\n${fatal(readFileSync(files.path("log"), "utf8"))}`);
    }
    await end(server);
    await end(etcd);
    files.remove();
  };
  try {
    await until(() => admin("/api/v1/namespaces/default"));
    for (const name of ["shunt-system", "istio-system"]) {
      await admin("/api/v1/namespaces", { method: "POST", body: { metadata: { name } } });
    }
    const service = { metadata: { name: "sidecars" }, spec: { type: "ExternalName", externalName: "localhost" } };
    await admin("/api/v1/namespaces/default/services", { method: "POST", body: service });
    // The server makes its own roles first.
    for (const each of manifests) await until(() => admin(collectionOf(each), { method: "POST", body: each }));
    await newToken();
    trust();
    behind = await openApiDouble({ bookmarks, behind: true, certificate: makeCertificate() });
  } catch (error) {
    await close();
    throw error;
  }
  const sidecars = behind;
  let served: readonly string[] = [];

  return {
    kind: "a real API server",
    kubeconfig: files.write("agent.yaml", config(wire.port, files.path("token"), files.path("authority.crt"))),
    adminKubeconfig,
    wire,
    admin,
    async serveSidecars(...versions) {
      const services = "/apis/apiregistration.k8s.io/v1/apiservices";
      for (const version of served) await admin(`${services}/${version}.networking.istio.io`, { delete: true });
      await until(async () => {
        const found = await admin("/apis/networking.istio.io").catch((error: ApiError) => error);
        if (!(found instanceof ApiError && found.status === 404)) throw new Error("the kind is still there");
      });
      sidecars.serveSidecars(versions);
      for (const [i, version] of versions.entries()) {
        await admin(services, { method: "POST", body: apiService(version, 100 - i, sidecars.port) });
        await until(() => admin(`/apis/networking.istio.io/${version}/sidecars`));
      }
      served = versions;
    },
    async forgetHistory() {
      // A new server keeps no events of before its start, and etcd none of before the compaction.
      await end(server);
      const status = await fetch(`${etcdUrl}/v3/maintenance/status`, { method: "POST", body: "{}" });
      const { header } = (await status.json()) as { header: { revision: string } };
      const body = JSON.stringify({ revision: header.revision, physical: true });
      await fetch(`${etcdUrl}/v3/kv/compaction`, { method: "POST", body });
      server = startServer();
      await until(() => admin("/readyz/poststarthook/rbac/bootstrap-roles").catch(notJson));
    },
    async forbid(resource) {
      for (const role of roles) {
        const rules = role.rules?.filter(({ resources }) => !resources.includes(resource)) ?? [];
        await put({ ...role, rules });
      }
    },
    async allow() {
      for (const role of roles) await put(role);
    },
    async rotateToken() {
      // Tokens are bound to the account's uid.
      await admin(`${accountPath}/shunt`, { delete: true });
      await admin(accountPath, { method: "POST", body: { metadata: { name: "shunt" } } });
      await newToken();
    },
    async rotateAuthority() {
      await end(server);
      for (const name of ["crt", "key"]) rmSync(files.path(`certificates/apiserver.${name}`));
      renew();
      server = startServer();
      await until(() => admin("/readyz/poststarthook/rbac/bootstrap-roles").catch(notJson));
      return trust;
    },
    async restart() {
      await end(server);
      server = startServer();
      await until(() => admin("/readyz/poststarthook/rbac/bootstrap-roles").catch(notJson));
    },
    close,
  };
}

/** The part of the log that says why, or its end. */
function fatal(log: string): string {
  const at = log.search(/^(?:fatal error|panic|F\d{4})/m);
  return at === -1 ? log.slice(-2000) : log.slice(at, at + 2000);
}

/** The answer is the word "ok". */
function notJson(error: Error): void {
  if (!(error instanceof SyntaxError)) throw error;
}
