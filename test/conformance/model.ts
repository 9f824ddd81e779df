/** What `shunt explain` says of the same socket. Its public function, not the command: thousands are asked. */
import { parseAddress } from "../../src/model/address.js";
import { defaultExcludedNamespaces } from "../../src/policy/enrolment.js";
import { explain } from "../../src/policy/explain.js";
import type { Question } from "../../src/policy/question.js";
import { readDocuments } from "../../src/source/documents.js";
import { type CaptureConfig, split } from "./config.js";
import { destinationOf, interfaceOf } from "./contract.js";
import { place, proxyPorts } from "./site.js";
import { familyOf, isTcp, type Socket } from "./sockets.js";

const parsed = (text: string) => {
  const address = parseAddress(text);
  if (address === undefined) throw new RangeError(`not an address: ${text}`);
  return address;
};

/** @returns undefined if the question cannot be put: explain knows the application and the proxy, and no other ids. */
function questionOf(config: CaptureConfig, socket: Socket): Question | undefined {
  const { direction, uid, gid, source, address, port } = socket;
  if (split(config.ExcludeInterfaces).includes(interfaceOf(socket))) return undefined;
  if (direction === "inbound") return isTcp(socket) ? { direction, port, family: familyOf(socket) } : undefined;
  const proxy = split(config.ProxyUID).map(Number).includes(uid);
  const groups = config.OwnerGroupsInclude !== "*" || config.OwnerGroupsExclude !== "";
  if (!proxy && (groups || split(config.ProxyGID).map(Number).includes(gid))) return undefined;
  return {
    direction,
    protocol: isTcp(socket) ? "tcp" : "udp",
    destination: parsed(address),
    port,
    as: proxy ? "proxy" : "app",
    source: source === undefined ? undefined : parsed(source),
  };
}

export type Model = (config: CaptureConfig, socket: Socket) => string | undefined;

/** @returns a function that says who is to get a socket, or undefined if the model cannot be asked about it. */
export function modelOf(manifest: string): Model {
  const [pod] = readDocuments(manifest, "").pods;
  if (pod === undefined) throw new Error("the manifest has no pod");
  const addresses = [place.address, place.second, place.address6, place.second6, "::6"].map(parsed);
  const options = { excludeNamespaces: defaultExcludedNamespaces };
  const answer = (question: Question, destination: string): string => {
    const { verdict, to } = explain(pod, options, addresses, question);
    if (verdict === "deny") return "refused";
    if (verdict === "bypass") return destination;
    const port = Number(to?.slice(to.lastIndexOf(":") + 1));
    return Object.entries(proxyPorts).find(([, own]) => own === port)?.[0] ?? `port ${port}`;
  };
  // Kinds and users of sockets that it does not tell apart are one question.
  const asked = new Map<string, string>();
  return (config, socket) => {
    const question = questionOf(config, socket);
    if (question === undefined) return undefined;
    const key = JSON.stringify(question);
    const known = asked.get(key) ?? answer(question, destinationOf(socket));
    asked.set(key, known);
    return known;
  };
}
