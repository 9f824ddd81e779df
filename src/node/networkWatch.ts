/**
 * Tells when the links, addresses or routes of pods change. What is told once is watched no longer until it is followed
 * again, and of a pod whose network never rests it is told ever more rarely: a change costs the agent more than the pod.
 */
import { readlinkSync } from "node:fs";
import type { Native } from "../kernel/native.js";

/** ms from a change to its being told. */
const soonest = 5;
const latest = 1000;

export interface NetworkWatch {
  /** A pod that is followed nowhere yet. */
  pod(onChange: () => void): PodNetwork;
  close(): void;
}

export interface PodNetwork {
  /**
   * Follows this namespace and no other: the first change after it resolves is told. One at a time.
   * @param path of a process's namespace. @param link what that has to be, as in `net:[4026531840]`.
   * @throws as {@link NativeNetnsWatch.add} does.
   */
  follow(path: string, link: string): Promise<void>;
  /** What is watched holds the namespace: nobody forgets, nothing goes. */
  forget(): void;
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/** The first change is told at once, each further one after twice the time, until the pod rests. */
function paced(tell: () => void): { change(): void; clear(): void } {
  let timer: NodeJS.Timeout | undefined;
  let told = Number.NEGATIVE_INFINITY;
  let pause = soonest;
  return {
    change() {
      if (timer !== undefined) return;
      pause = performance.now() - told > latest ? soonest : Math.min(pause * 2, latest);
      timer = setTimeout(() => {
        timer = undefined;
        told = performance.now();
        tell();
      }, pause);
    },
    clear() {
      clearTimeout(timer);
      timer = undefined;
    },
  };
}

export function openNetworkWatch(native: Pick<Native, "openNetnsWatch">): NetworkWatch {
  const byId = new Map<number, () => void>();
  const watch = native.openNetnsWatch((ids) => {
    for (const id of ids) byId.get(id)?.();
  });

  return {
    pod(onChange) {
      const { change, clear } = paced(onChange);
      let wanted: string | undefined;
      let watched: number | undefined;
      const unwatch = (): void => {
        if (watched === undefined) return;
        byId.delete(watched);
        watch.remove(watched);
        watched = undefined;
      };
      const forget = (): void => {
        wanted = undefined;
        clear();
        unwatch();
      };
      return {
        forget,
        async follow(path, link) {
          if (wanted === link && watched !== undefined) return;
          forget();
          wanted = link;
          const id = await watch.add(path);
          // Forgotten meanwhile, or the process ended and another one has its number.
          if (wanted !== link || linkOf(path) !== link) return watch.remove(id);
          watched = id;
          byId.set(id, () => {
            unwatch();
            change();
          });
        },
      };
    },
    close: () => watch.close(),
  };
}
