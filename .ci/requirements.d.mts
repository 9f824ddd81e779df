export interface Provided {
  readonly command?: string;
  readonly pkgConfig?: string;
}
export interface Package {
  readonly name: string;
  readonly provides: readonly Provided[];
  readonly why: string;
  readonly test?: boolean;
}
export interface Facts {
  readonly platform: string;
  readonly uid: number;
  /** process.versions.node */
  readonly node: string;
  /** uname -r */
  readonly kernel: string;
  readonly btf: boolean;
  /** Text of /proc/filesystems. */
  readonly filesystems: string;
  /** Text of /proc/self/mounts. */
  readonly mounts: string;
  readonly aptGet: boolean;
  readonly missing: readonly Package[];
}
export interface Lock {
  readonly packages: Readonly<
    Record<string, { version?: string; integrity?: string; optional?: boolean; peer?: boolean }>
  >;
}
export interface Mount {
  readonly source: string;
  readonly target: string;
  readonly type: string;
}

export const oldestNode: string;
export const oldestKernel: string;
export const packages: readonly Package[];
export function missingPackages(has: (thing: Provided) => boolean, options: { test: boolean }): Package[];
export function parseVersion(text: string): [number, number] | undefined;
export function atLeast(version: string, oldest: string): boolean;
export function parseMounts(text: string): Mount[];
export function parseFilesystems(text: string): string[];
export function refusal(facts: Facts): string | undefined;
export function installed(lock: Lock, hidden: Lock): boolean;
