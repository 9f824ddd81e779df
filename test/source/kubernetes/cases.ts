/** What a case of the suite is given. */
import type { ClusterBed } from "./clusterBed.js";
import type { Opened } from "./kit.js";

export interface Place {
  readonly bed: ClusterBed;
  /** No other case has pods there. */
  readonly node: string;
  /** Opens a source and waits until it has been read. */
  synced(use: (opened: Opened) => Promise<void>): Promise<void>;
}

export type Cases = Readonly<Record<string, (place: Place) => Promise<void>>>;

/** What the source complains of. */
export const troubles = ({ source }: Opened): string[] =>
  source.snapshot().problems.map(({ key, why }) => `${key}: ${why}`);
