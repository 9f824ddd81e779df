/**
 * One collector a file, each with a registry of its own: one that fails leaves its metrics out of a scrape, whole,
 * instead of showing what it set halfway or the zeros of a fresh gauge.
 */
import { Counter, Gauge, type Registry } from "prom-client";
import type { AgentView } from "./view.js";

export interface Collector {
  /** The value of the `collector` label. */
  readonly name: string;
  readonly registry: Registry;
  /** Sets the samples to what the view says now. @throws whatever reading throws. */
  collect(view: AgentView): void;
}

/** Needs no agent, so it is there while the agent starts. */
export interface ProcessCollector extends Omit<Collector, "collect"> {
  collect(): void;
}

/** Labels and value. */
export type Sample<L extends string> = readonly [Readonly<Record<L, string>>, number];

/** A metric that shows exactly the samples that it was given last. */
export interface Family<L extends string> {
  set(samples: readonly Sample<L>[]): void;
}

interface Description<L extends string> {
  readonly name: string;
  readonly help: string;
  readonly labelNames?: readonly L[];
}

export function gauge<L extends string = never>(registry: Registry, description: Description<L>): Family<L> {
  const metric = new Gauge<string>({ ...description, registers: [registry] });
  return {
    set(samples) {
      metric.reset();
      for (const [labels, value] of samples) metric.set(labels, value);
    },
  };
}

/** A counter that is counted elsewhere. prom-client's can only be added to, so it starts from nothing each time. */
export function counter<L extends string = never>(registry: Registry, description: Description<L>): Family<L> {
  const metric = new Counter<string>({ ...description, registers: [registry] });
  return {
    set(samples) {
      metric.reset();
      for (const [labels, value] of samples) metric.inc(labels, value);
    },
  };
}

/** The one sample of a metric without labels. */
export function only(value: number): readonly Sample<never>[] {
  return [[{}, value]];
}
