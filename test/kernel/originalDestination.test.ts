/** Of sockets that nobody steered; of steered ones, test/kernel/ and test/demo/ say it in passing. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { KernelError } from "../../src/kernel/native.js";
import { originalDestination } from "../../src/kernel/originalDestination.js";

for (const host of ["127.0.0.1", "::1"]) {
  test(`a connection to ${host} that was not steered has none: the kernel's own error`, async () => {
    const server = createServer().listen(0, host);
    await once(server, "listening");
    const client = connect((server.address() as AddressInfo).port, host);
    const [accepted] = (await once(server, "connection")) as [Socket];
    try {
      let thrown: Partial<KernelError> = {};
      try {
        originalDestination(accepted);
      } catch (error) {
        thrown = error as KernelError;
      }
      assert.is(thrown.syscall, "getsockopt(SO_ORIGINAL_DST)");
      assert.match(thrown.code ?? "", /^E[A-Z]+$/);
    } finally {
      client.destroy();
      accepted.destroy();
      server.close();
    }
  });
}

test.run();
