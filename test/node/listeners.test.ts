import { createServer } from "node:net";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { listensEverywhere, parseWildcardListeners } from "../../src/node/listeners.js";

const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
const rest = "00000000:00000000 00:00000000 00000000  1337        0 1 1 0 100 0 0 10 0\n";

test("listeners on every address, of either family; no connections, no others' addresses", () => {
  const four = `${head}   0: 00000000:3A99 00000000:0000 0A ${rest}   1: 0100007F:3A9E 00000000:0000 0A ${rest}`;
  assert.equal([...parseWildcardListeners(four)], [15001]);
  const all = "0".repeat(32);
  assert.equal([...parseWildcardListeners(`   0: ${all}:3A99 ${all}:0000 0A ${rest}`)], [15001]);
  assert.equal([...parseWildcardListeners(`   0: 00000000:3A99 00000000:0000 07 ${rest}`)], []);
  assert.equal([...parseWildcardListeners("")], []);
});

test("this process's own, and one that is not there", async () => {
  const listen = (host: string) =>
    new Promise<{ port: number; close: () => void }>((resolve, reject) => {
      const server = createServer();
      server.once("error", reject).listen(0, host, () => {
        const { port } = server.address() as { port: number };
        resolve({ port, close: () => server.close() });
      });
    });
  const wide = await listen("0.0.0.0");
  assert.equal([listensEverywhere(process.pid, wide.port), listensEverywhere(-1, wide.port)], [true, false]);
  wide.close();
});

test.run();
