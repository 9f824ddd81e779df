/**
 * Checks of documents that may have any shape, typed by what was checked. As much of it as manifests need: a
 * library for it was half of the bundle, and 50 ms and 8 MiB of every start.
 */

/** A value that is not what it should be. */
export interface Issue {
  /** `spec.containers.0.name`, "" for the document itself. */
  readonly path: string;
  readonly value: unknown;
  /** `expected string, received number`. */
  readonly why: string;
}

/**
 * Checks a value and what is in it, and adds what is wrong to `issues`.
 * @returns the value, or an empty one of its type in the place of a wrong one. Never throws.
 */
export type Shape<T> = (value: unknown, path: string, issues: Issue[]) => T;
export type Shaped<S> = S extends Shape<infer T> ? T : never;

/** A document of another shape altogether has no end of them. */
const mostIssues = 100;

function add(issues: Issue[], issue: Issue): void {
  if (issues.length < mostIssues) issues.push(issue);
}

function typeOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return Number.isNaN(value) ? "NaN" : typeof value;
}

/** A shape of one type, told by `is`. */
function simple<T>(name: string, empty: T, is: (value: unknown) => value is T): Shape<T> {
  return (value, path, issues) => {
    if (is(value)) return value;
    add(issues, { path, value, why: `expected ${name}, received ${typeOf(value)}` });
    return empty;
  };
}

export const anything: Shape<unknown> = (value) => value;
export const string = simple("string", "", (value) => typeof value === "string");
export const boolean = simple("boolean", false, (value) => typeof value === "boolean");
const number = simple("number", 0, (value): value is number => typeof value === "number" && !Number.isNaN(value));
const fields = simple<Readonly<Record<string, unknown>>>("object", {}, isRecord);

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A string that is not empty. */
export const text: Shape<string> = (value, path, issues) => {
  if (value === "") add(issues, { path, value, why: "must not be empty" });
  return string(value, path, issues);
};

/** A string of at most so many characters. */
export function upTo(most: number, shape: Shape<string>): Shape<string> {
  return (value, path, issues) => {
    if (typeof value === "string" && value.length > most)
      add(issues, { path, value, why: `has ${value.length} characters; at most ${most} are allowed` });
    return shape(value, path, issues);
  };
}

/** A whole number from `least` to `most`, both included. */
export function integer(least: number, most: number): Shape<number> {
  return (value, path, issues) => {
    if (Number.isInteger(value) && Number(value) >= least && Number(value) <= most) return Number(value);
    if (typeOf(value) !== "number") return number(value, path, issues);
    add(issues, { path, value, why: `expected a whole number from ${least} to ${most}` });
    return least;
  };
}

/** Absent and null are one in Kubernetes. */
export function optional<T>(shape: Shape<T>): Shape<T | undefined> {
  return (value, path, issues) => (value === undefined || value === null ? undefined : shape(value, path, issues));
}

/** Names and values of any type; empty where it is absent. */
export const record: Shape<Readonly<Record<string, unknown>>> = (value, path, issues) =>
  optional(fields)(value, path, issues) ?? {};

/** Empty where it is absent. */
export function list<T>(item: Shape<T>): Shape<readonly T[]> {
  return (value, path, issues) => {
    if (value === undefined || value === null) return [];
    if (Array.isArray(value))
      return Array.from(value, (each: unknown, i) => item(each, path === "" ? `${i}` : `${path}.${i}`, issues));
    add(issues, { path, value, why: `expected array, received ${typeOf(value)}` });
    return [];
  };
}

/** These fields; others are ignored, as Kubernetes adds some every release. */
export function object<F extends Readonly<Record<string, Shape<unknown>>>>(
  shapes: F,
): Shape<{ readonly [K in keyof F]: Shaped<F[K]> }> {
  const each = Object.entries(shapes);
  return (value, path, issues) => {
    const from = fields(value, path, issues);
    // What is in something that is not an object need not be told as well.
    const below = isRecord(value) ? issues : [];
    const read = each.map(
      ([name, shape]) => [name, shape(from[name], path === "" ? name : `${path}.${name}`, below)] as const,
    );
    return Object.fromEntries(read) as { readonly [K in keyof F]: Shaped<F[K]> };
  };
}

/** @returns the value, unless something is wrong with it; issues in the order of the shape's fields. */
export function check<T>(shape: Shape<T>, value: unknown): { value: T } | { issues: readonly Issue[] } {
  const issues: Issue[] = [];
  const read = shape(value, "", issues);
  return issues.length === 0 ? { value: read } : { issues };
}
