/** The listeners of an Istio `Sidecar`, read and checked as Istio does it (pkg/config/validation, Istio 1.26). */

import { isDnsLabel } from "./dnsName.js";
import { fieldOf, isAbsent, type ShapeReader } from "./documentShape.js";
import { captureModes, type EgressListener, type IngressListener } from "./sidecar.js";
import { checkPool, checkTls } from "./sidecarExtras.js";
import {
  isUnix,
  refuseAddress,
  refuseEndpoint,
  refuseHost,
  refusePort,
  refuseProtocol,
  refuseUnix,
} from "./sidecarValues.js";

interface ListenerPort {
  /** 0 where it is absent, as in Istio's protocol; undefined where it is no number, which is refused already. */
  readonly number: number | undefined;
  readonly protocol: string;
}

/** @returns undefined if there is none. */
function readPort(read: ShapeReader, value: unknown, path: string): ListenerPort | undefined {
  const port = read.record(value, path);
  if (port === undefined) return undefined;
  const given = fieldOf(port, "number");
  const number = isAbsent(given) ? 0 : read.integer(given, `${path}.number`);
  const protocol = read.text(fieldOf(port, "protocol"), `${path}.protocol`);
  const name = read.text(fieldOf(port, "name"), `${path}.name`);
  const target = read.integer(fieldOf(port, "targetPort"), `${path}.targetPort`) ?? 0;
  const unknown = refuseProtocol(protocol);
  if (unknown !== undefined) read.refuse(`${path}.protocol`, protocol, unknown);
  if (name !== "" && !isDnsLabel(name)) read.refuse(`${path}.name`, name, "must be a DNS label");
  if (target !== 0) read.refuse(`${path}.targetPort`, target, "means nothing in a Sidecar: use defaultEndpoint");
  return { number, protocol };
}

function checkPort(read: ShapeReader, { number }: ListenerPort, path: string, used: Map<number, string>): void {
  if (number === undefined) return;
  const bad = refusePort(number);
  if (bad !== undefined) read.refuse(`${path}.port.number`, number, bad);
  const first = used.get(number);
  if (first === undefined) used.set(number, path);
  else read.refuse(`${path}.port.number`, number, `${first} has this port already: a port has one listener`);
}

function checkBind(read: ShapeReader, bind: string, path: string): void {
  const bad = bind === "" ? undefined : isUnix(bind) ? "a listener on a port binds an address" : refuseAddress(bind);
  if (bad !== undefined) read.refuse(`${path}.bind`, bind, bad);
}

/** @param value of `spec.ingress`. */
export function readIngress(read: ShapeReader, value: unknown): IngressListener[] {
  const used = new Map<number, string>();
  return read.list(value, "spec.ingress").flatMap((item, i): IngressListener[] => {
    const path = `spec.ingress[${i}]`;
    if (item === null) read.refuse(path, item, "a listener must not be null");
    const listener = read.record(item, path);
    if (listener === undefined) return [];
    const port = readPort(read, fieldOf(listener, "port"), `${path}.port`);
    if (port === undefined) {
      if (isAbsent(fieldOf(listener, "port")))
        read.refuse(`${path}.port`, undefined, "an ingress listener needs a port");
      return [];
    }
    checkPort(read, port, path, used);
    const bind = read.text(fieldOf(listener, "bind"), `${path}.bind`);
    checkBind(read, bind, path);
    const defaultEndpoint = read.text(fieldOf(listener, "defaultEndpoint"), `${path}.defaultEndpoint`);
    const bad = defaultEndpoint === "" ? undefined : refuseEndpoint(defaultEndpoint);
    if (bad !== undefined) read.refuse(`${path}.defaultEndpoint`, defaultEndpoint, bad);
    checkTls(read, fieldOf(listener, "tls"), `${path}.tls`, port.protocol);
    checkPool(read, fieldOf(listener, "connectionPool"), `${path}.connectionPool`);
    const captureMode = read.choice(fieldOf(listener, "captureMode"), `${path}.captureMode`, captureModes) ?? "DEFAULT";
    return [{ port: port.number ?? 0, bind, captureMode, defaultEndpoint }];
  });
}

/** A listener on a unix socket: no IP traffic comes to it, so there is nothing to capture by iptables. */
function checkUnix(
  read: ShapeReader,
  { bind, captureMode }: Pick<EgressListener, "bind" | "captureMode">,
  path: string,
  used: Map<string, string>,
): void {
  const bad = isUnix(bind) ? refuseUnix(bind) : "a listener with port 0 binds a unix socket: unix:///path";
  if (bad !== undefined) read.refuse(`${path}.bind`, bind, bad);
  if (captureMode === "IPTABLES")
    read.refuse(`${path}.captureMode`, captureMode, "must be DEFAULT or NONE for a unix socket");
  const first = used.get(bind);
  if (first === undefined) used.set(bind, path);
  else read.refuse(`${path}.bind`, bind, `${first} has this unix socket already`);
}

/** @param value of `spec.egress`. */
export function readEgress(read: ShapeReader, value: unknown): EgressListener[] {
  const ports = new Map<number, string>();
  const sockets = new Map<string, string>();
  const items = read.list(value, "spec.egress");
  return items.flatMap((item, i): EgressListener[] => {
    const path = `spec.egress[${i}]`;
    if (item === null) read.refuse(path, item, "a listener must not be null");
    const listener = read.record(item, path);
    if (listener === undefined) return [];
    const bind = read.text(fieldOf(listener, "bind"), `${path}.bind`);
    const captureMode = read.choice(fieldOf(listener, "captureMode"), `${path}.captureMode`, captureModes) ?? "DEFAULT";
    const port = readPort(read, fieldOf(listener, "port"), `${path}.port`);
    if (port === undefined) {
      if (isAbsent(fieldOf(listener, "port")) && i < items.length - 1)
        read.refuse(`${path}.port`, undefined, "the listener without a port is for the rest: one, and the last");
    } else if (port.number === 0) {
      checkUnix(read, { bind, captureMode }, path, sockets);
    } else {
      checkPort(read, port, path, ports);
      checkBind(read, bind, path);
    }
    const hosts = readHosts(read, fieldOf(listener, "hosts"), `${path}.hosts`);
    return [{ port: port?.number, bind, captureMode, hosts }];
  });
}

function readHosts(read: ShapeReader, value: unknown, path: string): string[] {
  const items = read.list(value, path);
  if (items.length === 0 && (isAbsent(value) || Array.isArray(value)))
    read.refuse(path, value, "an egress listener needs a host: ./* for its own namespace, */* for all");
  return items.map((item, i) => {
    const host = read.text(item, `${path}[${i}]`);
    const bad = isAbsent(item) || typeof item === "string" ? refuseHost(host) : undefined;
    if (bad !== undefined) read.refuse(`${path}[${i}]`, item, bad);
    return host;
  });
}
