/**
 * Small checks for documents of any shape, as YAML or JSON gives them. Each takes a value and the path at which it
 * stands, refuses what has another type, and returns what can be used. Nothing here throws.
 *
 * Absent and null are one, as in Kubernetes and in the JSON form of protocol buffers.
 */

export type Fields = Readonly<Record<string, unknown>>;

/** Hears of a value that is refused, and why. */
export type Refuse = (path: string, value: unknown, why: string) => void;

export function isRecord(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function isAbsent(value: unknown): value is null | undefined {
  return value === undefined || value === null;
}

/** The value of a key that the document itself has. */
export function fieldOf(value: unknown, key: string): unknown {
  return isRecord(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}

/** What a person would call the type of a value. */
function typeName(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  return value === null ? "null" : typeof value === "object" ? "a mapping" : `a ${typeof value}`;
}

export interface ShapeReader {
  readonly refuse: Refuse;
  /** @returns undefined if absent or refused. */
  record(value: unknown, path: string): Fields | undefined;
  /** @returns no items if absent or refused. */
  list(value: unknown, path: string): readonly unknown[];
  /** @returns "" if absent or refused. */
  text(value: unknown, path: string): string;
  /** @returns undefined if absent or refused. */
  integer(value: unknown, path: string): number | undefined;
  /** @returns false if absent or refused. */
  flag(value: unknown, path: string): boolean;
  /** One of a closed list, as written. @returns undefined if absent or refused. */
  choice<T extends string>(value: unknown, path: string, choices: readonly T[]): T | undefined;
  /** A mapping of texts. @returns no entries if absent or refused. */
  texts(value: unknown, path: string): ReadonlyMap<string, string>;
}

export function shapeReader(refuse: Refuse): ShapeReader {
  const expect = <T>(value: unknown, path: string, is: (value: unknown) => value is T, what: string): T | undefined => {
    if (isAbsent(value)) return undefined;
    if (is(value)) return value;
    refuse(path, value, `must be ${what}, not ${typeName(value)}`);
    return undefined;
  };
  const isText = (value: unknown): value is string => typeof value === "string";
  const record = (value: unknown, path: string): Fields | undefined => expect(value, path, isRecord, "a mapping");
  return {
    refuse,
    record,
    list: (value, path) => expect(value, path, (given): given is unknown[] => Array.isArray(given), "a list") ?? [],
    text: (value, path) => expect(value, path, isText, "text") ?? "",
    integer: (value, path) =>
      expect(value, path, (given): given is number => Number.isSafeInteger(given), "a whole number"),
    flag: (value, path) =>
      expect(value, path, (given): given is boolean => typeof given === "boolean", "true or false") ?? false,
    choice: (value, path, choices) => {
      const text = expect(value, path, isText, `one of ${choices.join(", ")}`);
      const found = choices.find((choice) => choice === text);
      if (text !== undefined && found === undefined) refuse(path, text, `must be one of ${choices.join(", ")}`);
      return found;
    },
    texts: (value, path) => {
      const found = new Map<string, string>();
      for (const [key, entry] of Object.entries(record(value, path) ?? {})) {
        if (typeof entry === "string") found.set(key, entry);
        else refuse(`${path}.${key}`, entry, "must be text: put it in quotes");
      }
      return found;
    },
  };
}
