/** What the agent asks of whatever tells it about pods. */
import type { Snapshot } from "./pod.js";
import type { Problem } from "./problem.js";

export interface Source {
  /** For people: `manifests DIR`. */
  readonly name: string;
  /** Resolves when there is a first snapshot to go by. Before that nothing in the kernel is changed. */
  readonly synced: Promise<void>;
  /** What it says now. */
  snapshot(): Snapshot;
  /** Takes all problems that there are now to where people look for them. */
  report?(problems: readonly Problem[]): void;
  /** The agent steers: pods may come. */
  ready?(): void;
  close(): void;
}

/** Opens it. @param onChange another snapshot is to be had. */
export type OpenSource = (onChange: () => void) => Source;
