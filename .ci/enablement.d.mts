export interface Link {
  readonly path: string;
  readonly target: string;
}

export function enabling(root?: string): Link[];
export function cameWith(before: readonly Link[], after: readonly Link[]): string[];
export function disableNew(before: readonly Link[], root?: string): void;
