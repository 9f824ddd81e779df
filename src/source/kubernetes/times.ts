/** How long the source waits, and for what. */

/** ms, all of them. */
export interface Times {
  /** Without a byte of a list: the connection is taken for dead. */
  readonly listSilence: number;
  /** Without a byte of a watch. The server's bookmarks come once a minute, though it promises none. */
  readonly watchSilence: number;
  /** The shortest time after which the server is asked to end a watch; the longest is twice that. */
  readonly watchLength: number;
  readonly firstRetry: number;
  readonly longestRetry: number;
  /** Between looks for a kind of object that the server does not know. */
  readonly longestLook: number;
  /** How long the server must say so before what was known of that kind is given up. */
  readonly goneAfter: number;
}

export const defaultTimes: Times = {
  listSilence: 30_000,
  watchSilence: 130_000,
  watchLength: 300_000,
  firstRetry: 200,
  longestRetry: 15_000,
  longestLook: 120_000,
  goneAfter: 30_000,
};
