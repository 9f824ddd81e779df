/** What `shunt explain` says of the same socket. Its public function, not the command: thousands are asked. */
import { parseAddress } from "../../src/model/address.js";
import { describeProblem } from "../../src/model/problem.js";
import { defaultExcludedNamespaces } from "../../src/policy/enrolment.js";
import { explain } from "../../src/policy/explain.js";
import type { Question } from "../../src/policy/question.js";
import { readDocuments } from "../../src/source/documents.js";
import { mergeFiles } from "../../src/source/mergeFiles.js";
import { destinationOf, interfaceOf } from "./contract.js";
import { place, proxyPorts } from "./site.js";
import { familyOf, isTcp, type Socket } from "./sockets.js";

const parsed = (text: string) => {
  const address = parseAddress(text);
  if (address === undefined) throw new RangeError(`not an address: ${text}`);
  return address;
};

function questionOf(socket: Socket): Question {
  const { direction, uid, gid, source, address, port } = socket;
  const protocol = isTcp(socket) ? "tcp" : "udp";
  const leaves = interfaceOf(socket);
  if (direction === "inbound") return { direction, port, family: familyOf(socket), protocol, interface: leaves };
  return {
    direction,
    protocol,
    destination: parsed(address),
    port,
    // By its ids alone: who asks does not run in the proxy's container.
    as: "app",
    uid,
    gid,
    source: source === undefined ? undefined : parsed(source),
    interface: leaves,
  };
}

/** @returns who is to get a socket. */
export type Model = (socket: Socket) => string;

/** @param manifest the pod's, with the Sidecars and the mesh's configuration beside it. */
export function modelOf(manifest: string): Model {
  const { pods, sidecars, mesh, problems } = mergeFiles(new Map([["", readDocuments(manifest, "")]]), [], true);
  const [pod] = pods;
  if (pod === undefined || problems.length > 0) throw new Error(problems.map(describeProblem).join() || "no pod");
  const addresses = [place.address, place.second, place.address6, place.second6, "::6"].map(parsed);
  const options = { excludeNamespaces: defaultExcludedNamespaces, sidecars, mesh };
  const answer = (question: Question, destination: string): string => {
    const { verdict, to } = explain(pod, options, addresses, question);
    if (verdict === "deny") return "refused";
    if (verdict === "bypass") return destination;
    const port = Number(to?.slice(to.lastIndexOf(":") + 1));
    return Object.entries(proxyPorts).find(([, own]) => own === port)?.[0] ?? `port ${port}`;
  };
  // Kinds of sockets that it does not tell apart are one question.
  const asked = new Map<string, string>();
  return (socket) => {
    const question = questionOf(socket);
    const key = JSON.stringify(question);
    const known = asked.get(key) ?? answer(question, destinationOf(socket));
    asked.set(key, known);
    return known;
  };
}
