/** A file of YAML or JSON as pods and problems. Pure. */
import { CORE_SCHEMA, load, mergeTag, type YAMLException } from "js-yaml";
import type { Pod } from "../model/pod.js";
import { readPod } from "../model/podDocument.js";
import type { Problem } from "../model/problem.js";

export interface FileContent {
  readonly pods: readonly Pod[];
  readonly problems: readonly Problem[];
  /** A document could not be read as what it says it is: pods of this file may be missing. */
  readonly damaged: boolean;
}

function documentProblem(where: string, why: string): Problem {
  return { kind: "document", where, pod: "", key: "document", value: "", why };
}

/** `kind: List` holds what `kubectl get -o yaml` prints. Documents of other kinds are not for us. */
function podDocuments(value: unknown): unknown[] {
  if (typeof value !== "object" || value === null || !("kind" in value)) return [];
  if (value.kind === "Pod") return [value];
  if (value.kind !== "List" && value.kind !== "PodList") return [];
  const items = "items" in value && Array.isArray(value.items) ? value.items : [];
  return items.flatMap((item: unknown) =>
    // kubectl leaves the kind out of the items of a PodList.
    value.kind === "PodList" && typeof item === "object" && item !== null
      ? [{ kind: "Pod", ...item }]
      : podDocuments(item),
  );
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

/** Merge keys (`<<`) as Kubernetes' own tools take them; aliases are rare in manifests and a bomb is made of them. */
const yaml = { schema: CORE_SCHEMA.withTags(mergeTag), maxAliases: 100 };

/** @param file as it is to show in messages. */
export function readDocuments(text: string, file: string): FileContent {
  const pods: Pod[] = [];
  const problems: Problem[] = [];
  let damaged = false;
  const documents = chunks(text);
  for (const chunk of documents) {
    let where = `${file}:${chunk.first}`;
    let value: unknown;
    try {
      value = load(chunk.text, yaml);
    } catch (error) {
      damaged = true;
      const { mark, reason } = error as Partial<YAMLException>;
      if (mark !== undefined) where = `${file}:${chunk.line + mark.line + 1}`;
      problems.push(documentProblem(where, `not YAML: ${reason ?? (error as Error).message}`));
      continue;
    }
    for (const candidate of podDocuments(value)) {
      const read = readPod(candidate, where);
      problems.push(...read.problems);
      if (read.pod !== undefined) pods.push(read.pod);
      else damaged = true;
    }
  }
  if (documents.length === 0) {
    const why = "the file is empty: to remove a pod, remove its file";
    return { pods, problems: [documentProblem(file, why)], damaged: true };
  }
  return { pods, problems, damaged };
}
