import { randomBytes } from "node:crypto";
import { rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { dump } from "js-yaml";

export interface ManifestOptions {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly address: string;
  readonly address6?: string | undefined;
  /** On top of those that the injector writes; an undefined value takes one of them away. */
  readonly annotations?: Readonly<Record<string, string | undefined>>;
  /** On top of `app` and the injector's. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Name of the application's container and value of the label `app`; `app` by default. */
  readonly app?: string;
  /** The containers that run: the status tells their ids. A {@link LabPod}'s, for instance. */
  readonly containers?: readonly { readonly name: string; readonly id: string }[];
}

/** Never pulled: nothing reads it. */
const proxyImage = "registry.istio.io/release/proxyv2:1.28.0";

const securityContext = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ["ALL"] },
  privileged: false,
  readOnlyRootFilesystem: true,
  runAsGroup: 1337,
  runAsNonRoot: true,
  runAsUser: 1337,
};

/** The proof container of CNI mode: `-p` and `-z` are the ports that the agent takes over from here. */
const validation = {
  name: "istio-validation",
  image: proxyImage,
  args: [
    ...["istio-iptables", "-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT", "-i", "*", "-x", "", "-b", "*"],
    ...["-d", "15090,15021,15020", "--log_output_level=default:info", "--run-validation", "--skip-rule-apply"],
  ],
  securityContext,
};

const sidecar = {
  name: "istio-proxy",
  image: proxyImage,
  args: ["proxy", "sidecar", "--domain", "$(POD_NAMESPACE).svc.cluster.local", "--log_output_level=default:info"],
  env: [
    { name: "POD_NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
    { name: "POD_NAMESPACE", valueFrom: { fieldRef: { fieldPath: "metadata.namespace" } } },
    { name: "PROXY_CONFIG", value: "{}\n" },
    { name: "ISTIO_META_INTERCEPTION_MODE", value: "REDIRECT" },
  ],
  restartPolicy: "Always",
  securityContext,
};

/**
 * A running pod as YAML, the way Istio's injector (CNI mode, native sidecars) and kubelet leave it, trimmed to what
 * matters for capture.
 */
export function podManifest(options: ManifestOptions): string {
  const { namespace, name, uid, address, app = "app" } = options;
  const ids = new Map((options.containers ?? []).map((container) => [container.name, container.id]));
  const running = (container: string): object[] => {
    const id = ids.get(container);
    if (id === undefined) return [];
    const state = { running: { startedAt: "2025-01-01T00:00:00Z" } };
    return [{ name: container, containerID: `containerd://${id}`, ready: true, restartCount: 0, started: true, state }];
  };
  const addresses = [address, ...(options.address6 === undefined ? [] : [options.address6])];
  return dump(
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        name,
        namespace,
        uid,
        labels: {
          app,
          "security.istio.io/tlsMode": "istio",
          "service.istio.io/canonical-name": app,
          "service.istio.io/canonical-revision": "latest",
          ...options.labels,
        },
        annotations: {
          "istio.io/rev": "default",
          "kubectl.kubernetes.io/default-container": app,
          "sidecar.istio.io/status": JSON.stringify({
            initContainers: ["istio-validation", "istio-proxy"],
            containers: null,
            revision: "default",
          }),
          ...options.annotations,
        },
      },
      spec: {
        containers: [
          { name: app, image: "docker.io/istio/examples-helloworld-v1:1.0", ports: [{ containerPort: 5000 }] },
        ],
        initContainers: [validation, sidecar],
      },
      status: {
        phase: "Running",
        podIP: address,
        podIPs: addresses.map((ip) => ({ ip })),
        initContainerStatuses: running("istio-proxy"),
        containerStatuses: running(app),
      },
    },
    { noRefs: true },
  );
}

/**
 * Writes or replaces a file so that a reader sees the old text or the new, never a part: a temporary file (its name
 * begins with a dot, so a watcher of the directory passes it over), then a rename.
 */
export async function writeManifest(directory: string, file: string, text: string): Promise<void> {
  const temporary = join(directory, `.${file}.${randomBytes(4).toString("hex")}`);
  try {
    await writeFile(temporary, text);
    await rename(temporary, join(directory, file));
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
