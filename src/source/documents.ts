/** A file of YAML or JSON as pods, Sidecars, the mesh's configuration and problems. Pure. */
import { CORE_SCHEMA, load, mergeTag, type YAMLException } from "js-yaml";
import { fieldOf, isRecord } from "../model/documentShape.js";
import type { Mesh } from "../model/mesh.js";
import { isMeshDocument, readMesh } from "../model/meshDocument.js";
import type { Pod } from "../model/pod.js";
import { readPod } from "../model/podDocument.js";
import { boundProblems, type Problem } from "../model/problem.js";
import type { Sidecar } from "../model/sidecar.js";
import { isSidecarDocument, readSidecar } from "../model/sidecarDocument.js";

export interface FileContent {
  readonly pods: readonly Pod[];
  readonly sidecars: readonly Sidecar[];
  /** Names of Sidecars that were refused; undefined of one that has none. */
  readonly refused: ReadonlySet<string | undefined>;
  /** `bad`: it only stands in where nothing better is known. */
  readonly meshes: readonly { readonly mesh: Mesh; readonly bad: boolean }[];
  readonly problems: readonly Problem[];
  /** A document could not be read as what it says it is: pods of this file may be missing. */
  readonly damaged: boolean;
  /** What could not be read may have been anything, not only a pod. */
  readonly hides: boolean;
}

export function emptyFile(problem: Problem): FileContent {
  return { pods: [], sidecars: [], refused: new Set(), meshes: [], problems: [problem], damaged: true, hides: true };
}

function documentProblem(where: string, why: string): Problem {
  return { kind: "document", where, pod: "", key: "document", value: "", why };
}

/** What of each kind of list kubectl leaves out of the items. */
const listKinds: Readonly<Record<string, object>> = {
  List: {},
  PodList: { kind: "Pod" },
  SidecarList: { kind: "Sidecar" },
  ConfigMapList: { kind: "ConfigMap" },
};

/** `kind: List` holds what `kubectl get -o yaml` prints. In their order, and with no depth of calls. */
function* objects(document: unknown): Generator<unknown> {
  const stack = [document];
  while (stack.length > 0) {
    const value = stack.pop();
    const kind = fieldOf(value, "kind");
    const implied = typeof kind === "string" && Object.hasOwn(listKinds, kind) ? listKinds[kind] : undefined;
    if (implied === undefined) {
      yield value;
      continue;
    }
    const items = fieldOf(value, "items");
    const apiVersion = fieldOf(value, "apiVersion");
    for (const item of (Array.isArray(items) ? (items as readonly unknown[]) : []).toReversed())
      stack.push(kind !== "List" && isRecord(item) ? { apiVersion, ...implied, ...item } : item);
  }
}

/** A document's text. */
interface Chunk {
  readonly text: string;
  /** Lines of the file before it. */
  readonly line: number;
  /** The number, from 1, of its first line that says something. */
  readonly first: number;
}

/**
 * Cuts a file at its document markers. YAML 1.2.2, section 9.1.2: a line that begins with `---` is a marker
 * wherever it stands, also in a block of text. So one document that does not parse takes no other with it.
 */
function chunks(text: string): Chunk[] {
  const lines = text.split("\n");
  const starts = [0, ...lines.flatMap((line, i) => (i > 0 && line.startsWith("---") && isMarker(line) ? [i] : []))];
  return starts.flatMap((line, i) => {
    const mine = starts.length === 1 ? lines : lines.slice(line, starts[i + 1]);
    const first = mine.findIndex((each) => !isBlank(each));
    return first < 0 ? [] : [{ text: mine === lines ? text : mine.join("\n"), line, first: line + first + 1 }];
  });
}

function isMarker(line: string): boolean {
  return /^---(?:\s|$)/.test(line);
}

/** A comment, a directive or a marker only. */
function isBlank(line: string): boolean {
  return /^(?:\s*(?:#.*)?|%.*|---\s*(?:#.*)?|\.\.\.\s*)$/.test(line);
}

/** Whether the text of a document that does not parse says that it is a pod, and holds no other object. */
function isPodAlone(text: string): boolean {
  return /\bkind["']?\s*:\s*["']?Pod\b/.test(text) && !/Sidecar|ConfigMap|List/.test(text);
}

/** Documents of a file, items of lists among them, that are read: ten times as many pods as a node has. */
const mostDocuments = 10_000;
/** Problems of a file that are listed. */
const mostProblems = 100;
/** Values in a document with its aliases written out: a pod has some hundreds. */
const mostValues = 1_000_000;

/** Whether there are more values than that. Aliases of aliases make of one kilobyte more than can be counted. */
function isBomb(document: unknown): boolean {
  const stack = [document];
  let count = 0;
  while (stack.length > 0) {
    const value = stack.pop();
    if (typeof value !== "object" || value === null) continue;
    for (const each of Object.values(value)) {
      if (++count > mostValues) return true;
      stack.push(each);
    }
  }
  return false;
}

/** Merge keys (`<<`) as Kubernetes' own tools take them; aliases are rare in manifests and a bomb is made of them. */
const yaml = { schema: CORE_SCHEMA.withTags(mergeTag), maxAliases: 100 };

/** @param file as it is to show in messages. */
export function readDocuments(text: string, file: string): FileContent {
  const pods: Pod[] = [];
  const sidecars: Sidecar[] = [];
  const refused = new Set<string | undefined>();
  const meshes: { mesh: Mesh; bad: boolean }[] = [];
  const problems: Problem[] = [];
  const report = (all: readonly Problem[]): void => {
    for (const problem of all) problems.push(problem);
  };
  let [damaged, hides] = [false, false];
  let count = 0;
  const documents = chunks(text);
  if (documents.length === 0)
    return emptyFile(documentProblem(file, "the file is empty: to remove a pod, remove its file"));

  /** Documents of other kinds, Namespaces among them, say nothing about capture. */
  const readObject = (document: unknown, where: string): void => {
    if (fieldOf(document, "kind") === "Pod") {
      const read = readPod(document, where);
      report(read.problems);
      if (read.pod !== undefined) pods.push(read.pod);
      else damaged = true;
    } else if (isSidecarDocument(document)) {
      const read = readSidecar(document, where);
      report(read.problems);
      if (read.sidecar !== undefined) sidecars.push(read.sidecar);
      else refused.add(read.name);
    } else if (isMeshDocument(document)) {
      const read = readMesh(document, where);
      report(read.problems);
      meshes.push({ mesh: read.mesh, bad: read.problems.length > 0 });
    }
  };
  const fail = (at: string, why: string, isPod = false): void => {
    damaged = true;
    hides ||= !isPod;
    problems.push(documentProblem(at, why));
  };
  /** @returns false if one more is too many. */
  const next = (where: string): boolean => {
    if (++count <= mostDocuments) return true;
    fail(where, `the file has more than ${mostDocuments} documents: from here on none is read`);
    return false;
  };
  /** @returns false if the rest is not to be read. */
  const readChunk = (chunk: Chunk): boolean => {
    const where = `${file}:${chunk.first}`;
    if (!next(where)) return false;
    let value: unknown;
    try {
      value = load(chunk.text, yaml);
    } catch (error) {
      const { mark, reason } = error as Partial<YAMLException>;
      const at = mark === undefined ? where : `${file}:${chunk.line + mark.line + 1}`;
      fail(at, `not YAML: ${reason ?? (error as Error).message}`, isPodAlone(chunk.text));
      return true;
    }
    if (chunk.text.includes("*") && isBomb(value)) {
      fail(where, `has more than ${mostValues} values with its aliases written out: the document is left out`);
      return true;
    }
    let first = true;
    for (const document of objects(value)) {
      if (!first && !next(where)) return false;
      first = false;
      readObject(document, where);
    }
    return true;
  };
  for (const chunk of documents) if (!readChunk(chunk)) break;
  return { pods, sidecars, refused, meshes, problems: boundProblems(problems, mostProblems), damaged, hides };
}
