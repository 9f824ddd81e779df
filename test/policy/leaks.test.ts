import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Address } from "../../src/model/address.js";
import { parseAddress } from "../../src/model/address.js";
import { leaked, type OpenSocket } from "../../src/policy/leaks.js";
import { policy } from "../samples.js";

const at = (text: string): Address => parseAddress(text) as Address;
const own = at("10.1.0.2");
const rules = policy(1n, { captureOtherOutbound: true });
const facts = { localAddresses: [own], captureIpv6: true };
const app: OpenSocket = {
  ...{ listening: false, local: own, localPort: 40000, remote: at("10.9.9.9"), remotePort: 443 },
  ...{ uid: 1000, gid: 1000, isOfPod: true, isProxy: false },
};
const isLeaked = (change: Partial<OpenSocket>, others: readonly OpenSocket[] = [], its = rules): boolean => {
  const socket = { ...app, ...change };
  return leaked(its, facts, [socket, ...others]).includes(socket);
};

test("what the policy would have led to the proxy", () => {
  assert.ok(isLeaked({}));
  assert.ok(isLeaked({ remote: at("2001:db8::1"), local: at("2001:db8::2") }));
  assert.ok(isLeaked({ gid: undefined }), "no process was seen to hold it");
});

test("what it lets pass is no leak: local, loopback, the proxy's by uid, by gid or by its container, others'", () => {
  for (const change of [
    { remote: own },
    { remote: at("127.0.0.1"), local: at("127.0.0.1") },
    { uid: rules.proxyUid },
    { gid: rules.proxyGid },
    { isProxy: true },
    { isOfPod: false },
  ])
    assert.not.ok(isLeaked(change), JSON.stringify(Object.keys(change)));
  assert.not.ok(isLeaked({}, [], policy(2n, { captureOtherOutbound: false })));
});

test("what was accepted is not the application's call: somebody listens at its port", () => {
  const listener = { ...app, listening: true, remotePort: 0, remote: at("0.0.0.0"), local: at("0.0.0.0") };
  assert.not.ok(isLeaked({ localPort: 8080 }, [{ ...listener, localPort: 8080 }]));
  assert.ok(isLeaked({ localPort: 8081 }, [{ ...listener, localPort: 8080 }]));
});

test("what iptables rules have led to the proxy: it has the other end", () => {
  const end = { ...app, local: at("127.0.0.1"), localPort: rules.outboundPort, isProxy: true, remotePort: 40000 };
  assert.not.ok(isLeaked({}, [{ ...end, remote: own }]));
  assert.ok(isLeaked({}, [{ ...end, remote: at("10.1.0.3") }]), "another address with that port");
});

test("where the policy asks for groups, a socket without one is left alone", () => {
  const some = policy(3n, { captureOtherOutbound: true, owners: { mode: "included", gids: [1000] } });
  assert.ok(isLeaked({}, [], some));
  assert.not.ok(isLeaked({ gid: 7 }, [], some));
  assert.not.ok(isLeaked({ gid: undefined }, [], some));
});

test.run();
