/** Something that is wrong with the input. Parsing returns values and problems; it never throws for bad input. */
export interface Problem {
  /** A short, closed word for the metric's label. */
  readonly kind:
    | "document"
    | "pod"
    | "annotation"
    | "sidecar"
    | "mesh"
    | "cgroup"
    | "namespace"
    | "listener"
    | "kernel"
    | "source";
  /** Where it stands: `pods/a.yaml:12`, or "" if it does not come from a file. */
  readonly where: string;
  /** `namespace/name`, or "" if no pod is concerned (or known). */
  readonly pod: string;
  /** The annotation, field or thing concerned. */
  readonly key: string;
  /** The offending value as it was written, cut to a length that a log line bears. */
  readonly value: string;
  /** Why it is wrong, in words that say what would be right. */
  readonly why: string;
}

/** One line for a person: where, what, why. */
export function describeProblem(problem: Problem): string {
  const where = [problem.where, problem.pod].filter((part) => part !== "").join(" ");
  const what = problem.value === "" ? problem.key : `${problem.key}=${JSON.stringify(problem.value)}`;
  return `${where}${where === "" ? "" : ": "}${what}: ${problem.why}`;
}

/** Characters of a problem's texts that are kept: names in a document are anybody's. */
const longest = { pod: 520, key: 320, why: 640 } as const;

/**
 * As many problems as a person reads and a log bears, each with texts of a length that a line bears.
 * @returns no more than `most`; the last then says how many there were.
 */
export function boundProblems(problems: readonly Problem[], most: number): Problem[] {
  const kept = (problems.length > most ? problems.slice(0, most - 1) : problems).map((problem): Problem => {
    const { pod, key, why } = problem;
    if (pod.length <= longest.pod && key.length <= longest.key && why.length <= longest.why) return problem;
    const [short, name, reason] = [
      shownValue(pod, longest.pod),
      shownValue(key, longest.key),
      shownValue(why, longest.why),
    ];
    return { ...problem, pod: short, key: name, why: reason };
  });
  const next = problems[most - 1];
  if (problems.length <= most || next === undefined) return kept;
  const why = `${problems.length} problems in all: the first ${most - 1} are listed`;
  return [...kept, { ...next, key: "document", value: "", why }];
}

/** Any value as {@link Problem.value}: a text as it is, anything else as JSON where that is possible. Never throws. */
export function shownValue(value: unknown, limit = 100): string {
  let text: string;
  try {
    text = typeof value === "string" ? value : (JSON.stringify(beginning(value, { left: limit })) ?? typeof value);
  } catch {
    text = typeof value; // a bigint
  }
  return text.length > limit ? `${text.slice(0, limit)}…` : text;
}

/**
 * As much of a value as can be seen: every item makes a character at least. With aliases a document of one kilobyte
 * is a value of gigabytes, and none of it may be written out.
 */
function beginning(value: unknown, budget: { left: number }): unknown {
  budget.left--;
  if (typeof value === "string") return value.slice(0, budget.left + 2);
  if (Array.isArray(value)) {
    const items: unknown[] = [];
    for (let i = 0; i < value.length && budget.left >= 0; i++) items.push(beginning(value[i], budget));
    return items;
  }
  if (typeof value !== "object" || value === null) return value;
  const fields: [string, unknown][] = [];
  for (const key of Object.keys(value)) {
    if (budget.left < 0) break;
    fields.push([key, beginning(Reflect.get(value, key), budget)]);
  }
  return Object.fromEntries(fields);
}
