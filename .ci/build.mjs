/** `npm run build`: what is older than its sources is made again, the rest is left alone. */
import { chmodSync, existsSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { compile } from "./bpf.mjs";
import { CommandFailed, run } from "./command.mjs";
import { widenPath } from "./machine.mjs";

/** The newest change below a path; that of a directory counts too: a file that went makes its product old. */
function changed(path) {
  if (!existsSync(path)) return 0;
  const stat = statSync(path);
  const below = stat.isDirectory() ? readdirSync(path).map((name) => changed(join(path, name))) : [];
  return Math.max(stat.mtimeMs, ...below);
}

async function object(root, product) {
  try {
    compile(join(root, "bpf"), join(root, product));
  } catch (error) {
    throw new CommandFailed(error.stderr || error.message);
  }
}

/** cmake-js by its file: npx would cost half a second. */
async function addon(root) {
  const env = { ...process.env, CMAKE_BUILD_PARALLEL_LEVEL: String(availableParallelism()) };
  await run(process.execPath, [join(root, "node_modules/cmake-js/bin/cmake-js"), "compile"], { cwd: root, env });
}

/**
 * Of prom-client what src/metrics uses. Its index loads OpenTelemetry, the cluster, a push gateway and default metrics
 * as well: 30 ms and 8 MiB of every start.
 */
const metricsOnly = {
  name: "metrics-only",
  setup(build) {
    const names = { Registry: "registry", Counter: "counter", Gauge: "gauge", Histogram: "histogram" };
    const lines = Object.entries(names).map(([name, file]) => `exports.${name} = require("prom-client/lib/${file}");`);
    build.onResolve({ filter: /^prom-client$/ }, ({ resolveDir }) => {
      return { path: "prom-client", namespace: "metrics-only", pluginData: resolveDir };
    });
    build.onLoad({ filter: /./, namespace: "metrics-only" }, ({ pluginData }) => {
      return { contents: lines.join("\n"), resolveDir: pluginData };
    });
  },
};

/**
 * Of @kubernetes/client-node only KubeConfig is used, which brings every type of the API and a whole fetch() along.
 * None of its modules does anything but define things, and of node-fetch it wants one class that Node has.
 */
const kubeConfigAlone = {
  name: "kube-config-alone",
  setup(esbuild) {
    esbuild.onResolve({ filter: /^node-fetch$/ }, () => ({ path: "node-fetch", namespace: "node-fetch" }));
    esbuild.onLoad({ filter: /./, namespace: "node-fetch" }, () => ({
      contents: "export const Headers = globalThis.Headers; export default globalThis.fetch;",
    }));
    esbuild.onResolve({ filter: /^\./ }, async ({ path, importer, resolveDir, kind, pluginData }) => {
      if (pluginData === "resolved" || !importer.includes("@kubernetes/client-node/dist/")) return undefined;
      return { ...(await esbuild.resolve(path, { resolveDir, kind, pluginData: "resolved" })), sideEffects: false };
    });
  },
};

/**
 * What is loaded only when it is needed is a file of its own. As part of the bundle it would be read, and parsed as far
 * as V8 parses what is not called, at every start: 25 ms of CPU and 6 MiB.
 */
const apart = { "@kubernetes/client-node/dist/config.js": "kubeconfig", "pino-pretty": "pretty" };

const filesApart = {
  name: "files-apart",
  setup(esbuild) {
    esbuild.onResolve({ filter: /./ }, ({ path, kind }) =>
      kind === "dynamic-import" && path in apart ? { path: `./${apart[path]}.js`, external: true } : undefined,
    );
  },
};

async function bundle(root, product) {
  // Here, since this file is loaded before node_modules exists.
  const { build: esbuild } = await import("esbuild");
  const outfile = join(root, product);
  const common = {
    absWorkingDir: root,
    bundle: true,
    platform: "node",
    // Not "esm": Node's loader of modules takes 4 MiB more for it. So does import(), even of a CommonJS file.
    format: "cjs",
    supported: { "dynamic-import": false },
    target: "node20",
    logLevel: "silent",
  };
  const others = Object.entries(apart).map(([path, file]) => ({ in: path, out: file }));
  try {
    await esbuild({ ...common, entryPoints: others, outdir: dirname(outfile), plugins: [kubeConfigAlone] });
    await esbuild({
      ...common,
      entryPoints: [join(root, "src/main.ts")],
      outfile,
      define: { "import.meta.url": "shuntUrl" },
      sourcemap: "external",
      banner: {
        js: '#!/usr/bin/env node\nconst shuntUrl = require("node:url").pathToFileURL(__filename).href;',
      },
      plugins: [metricsOnly, filesApart],
      loader: { ".html": "text", ".css": "text" },
    });
  } catch (error) {
    const text = error.errors?.map((each) => `${each.location?.file}:${each.location?.line}: ${each.text}`).join("\n");
    throw new CommandFailed(text || error.message);
  }
  writeFileSync(join(dirname(outfile), "package.json"), '{ "type": "commonjs" }\n');
  chmodSync(outfile, 0o755);
}

const steps = [
  { product: "dist/shunt.bpf.o", inputs: ["bpf", ".ci/bpf.mjs"], make: object },
  { product: "dist/shunt.node", inputs: ["native", "CMakeLists.txt", "package-lock.json"], make: addon },
  {
    product: "dist/shunt.js",
    beside: Object.values(apart).map((file) => `dist/${file}.js`),
    inputs: ["src", "package.json", "package-lock.json", ".ci/build.mjs"],
    make: bundle,
  },
];

/** @throws CommandFailed with the compiler's words. */
export async function build(root) {
  for (const { product, beside = [], inputs, make } of steps) {
    const path = join(root, product);
    const whole = beside.every((file) => existsSync(join(root, file)));
    if (whole && changed(path) > Math.max(...inputs.map((input) => changed(join(root, input))))) continue;
    const started = performance.now();
    try {
      await make(root, product);
      if (!existsSync(path)) throw new CommandFailed(`${product} was not made`);
    } catch (error) {
      // What is left of the last build would be taken for this one's.
      rmSync(path, { force: true });
      throw error;
    }
    // cmake does not touch a product that did not change.
    utimesSync(path, new Date(), new Date());
    console.log(`build: ${product} ${((performance.now() - started) / 1000).toFixed(1)} s`);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  widenPath();
  try {
    await build(fileURLToPath(new URL("..", import.meta.url)));
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error;
    console.error(error.message);
    process.exitCode = 1;
  }
}
