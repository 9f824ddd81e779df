/** Says each problem once when it comes and once when it is mended. */
import { describeProblem, type Problem } from "../model/problem.js";

export interface ProblemLog {
  /** All problems that there are now. */
  update(problems: readonly Problem[]): void;
  readonly current: readonly Problem[];
}

export function openProblemLog(
  onNew: (problem: Problem, text: string) => void,
  onMended: (text: string) => void,
): ProblemLog {
  let current = new Map<string, Problem>();
  return {
    get current() {
      return [...current.values()];
    },
    update(problems) {
      const now = new Map(problems.map((problem) => [describeProblem(problem), problem]));
      for (const [text, problem] of now) if (!current.has(text)) onNew(problem, text);
      for (const text of current.keys()) if (!now.has(text)) onMended(text);
      current = now;
    },
  };
}
