/** Something that is wrong with the input. Parsing returns values and problems; it never throws for bad input. */
export interface Problem {
  /** A short, closed word for the metric's label. */
  readonly kind: "document" | "pod" | "annotation" | "cgroup" | "namespace" | "kernel" | "source";
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

/** Any value as {@link Problem.value}: a text as it is, anything else as JSON where that is possible. Never throws. */
export function shownValue(value: unknown, limit = 100): string {
  let text: string;
  try {
    text = typeof value === "string" ? value : (JSON.stringify(value) ?? typeof value);
  } catch {
    text = typeof value; // a bigint, or a circle
  }
  return text.length > limit ? `${text.slice(0, limit)}…` : text;
}
