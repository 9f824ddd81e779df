/** A proxy that knows nothing of us: HAProxy from Debian, transparent, as the proxy's uid. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { firstLine } from "../../src/demo/process.js";
import { policy, prefix } from "../samples.js";
import { openBed, script } from "./bed.js";
import { startClient } from "./client.js";

const configuration = `
global
  maxconn 1000
defaults
  mode tcp
  timeout connect 5s
  timeout client 20s
  timeout server 20s
listen outbound
  bind :15001
  server original 0.0.0.0:0
`;

test("connections to several addresses and ports arrive where they were meant to, through HAProxy", async () => {
  const bed = await openBed("haproxy");
  try {
    const pod = (name: string, host: number) =>
      bed.lab.pod({ namespace: "test", name, uid: `cc-${host}`, address: `10.88.1.${host}` });
    const [client, one, two] = await Promise.all([pod("client", 2), pod("one", 3), pod("two", 4)]);
    const servers = [one, two].map((target) =>
      target.spawn(script("originServer.ts", "%l", "0.0.0.0:5000", "0.0.0.0:5001", "0.0.0.0:65535"), {
        container: "app",
      }),
    );
    const file = join(bed.lab.directory, "haproxy.cfg");
    writeFileSync(file, configuration);
    const ids = { uid: 1337, gid: 1337 };
    const haproxy = client.spawn(["haproxy", "-db", "-f", file], {
      container: "istio-proxy",
      ...ids,
      stdio: ["ignore", "inherit", "inherit"],
    });
    const [app] = await Promise.all([startClient(client), ...servers.map((server) => firstLine(server))]);
    await bed.enrol([
      [
        client,
        policy(1n, { ranges: [{ prefix: prefix("10.88.1.4/32"), action: "bypass", reason: "excluded-range" }] }),
      ],
    ]);
    const hosts = [one.address];
    const ports = [5000, 5001, 65535];

    // HAProxy says nothing when it listens: the first answer says it.
    const end = Date.now() + 60_000;
    let ready = false;
    while (!ready && Date.now() < end && haproxy.exitCode === null) {
      const [result] = await app.ask({ count: 1, parallel: 1, hosts, ports });
      ready = result?.said.startsWith(one.address) === true;
    }
    assert.ok(ready, "HAProxy listens");
    const before = new Map(bed.verdicts(client).map((entry) => [entry.reason, entry.count]));
    const grown = (reason: string): number =>
      Number(
        (bed.verdicts(client).find((entry) => entry.reason === reason)?.count ?? 0n) -
          (before.get(reason as "proxy") ?? 0n),
      );

    const results = await app.ask({ count: 300, parallel: 20, hosts, ports });
    for (const { asked, peer, said } of results) {
      assert.ok(said.startsWith(`${asked} `), `${asked} arrived at ${said}`);
      assert.is(peer, asked);
      // The workload sees HAProxy's own connection, from the client's pod.
      assert.match(said, / 10\.88\.1\.2:\d+$/);
    }
    assert.is(grown("included-all"), 300, "each was redirected");
    assert.is(grown("proxy"), 300, "HAProxy's own connections pass");

    const around = await app.ask({ count: 30, parallel: 5, hosts: [two.address], ports });
    for (const { asked, said, local } of around)
      assert.is(said.split(" ").at(-1), local, `${asked} came from the app itself`);
    assert.is(grown("excluded-range"), 30);
    assert.is(grown("proxy"), 300, "HAProxy saw none of them");
  } finally {
    await bed.close();
  }
});

test.run();
