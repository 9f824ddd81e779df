/** Installs Debian packages without ever starting a daemon: neither now nor at the next boot. */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { run } from "./command.mjs";
import { disableNew, enabling } from "./enablement.mjs";

const policy = "/usr/sbin/policy-rc.d";
/** Marks the file as ours, so that one left by a killed run is taken away by the next. */
const policyText =
  "#!/bin/sh\n# Temporary, by Shunt's .ci/apt.mjs: nothing that it installs may start a daemon.\nexit 101\n";

/**
 * Packages' scripts ask the policy whether they may start a service. One of the machine's own stays.
 * @returns what takes ours away, and disables what was enabled meanwhile.
 */
function forbidDaemons() {
  const before = enabling();
  const ours = !existsSync(policy) || readFileSync(policy, "utf8") === policyText;
  if (ours) writeFileSync(policy, policyText, { mode: 0o755 });
  return () => {
    if (ours) rmSync(policy, { force: true });
    disableNew(before);
  };
}

/**
 * @param names packages. Interrupted by SIGINT or SIGTERM it waits for apt-get's end, cleans up and exits.
 * @throws CommandFailed with the end of apt-get's output.
 */
export async function install(names) {
  const interrupted = new AbortController();
  const interrupt = (signal) => interrupted.abort(signal);
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const each of signals) process.on(each, interrupt);
  const allowDaemons = forbidDaemons();
  process.once("exit", allowDaemons);
  try {
    const apt = (...args) =>
      run("apt-get", ["-q", "-o", "DPkg::Lock::Timeout=300", ...args], {
        env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
        signal: interrupted.signal,
      });
    const packages = () => apt("install", "-y", "--no-install-recommends", ...names);
    // The lists may be missing (a container image) or too old; one that is current needs no update.
    await packages().catch(async (error) => {
      if (interrupted.signal.aborted) throw error;
      await apt("update");
      await packages();
    });
  } finally {
    allowDaemons();
    process.off("exit", allowDaemons);
    for (const each of signals) process.off(each, interrupt);
    if (interrupted.signal.aborted) process.exit(130);
  }
}
