import type { Facts, Provided } from "./requirements.mjs";

export function widenPath(env?: NodeJS.ProcessEnv): void;
export function hasCommand(name: string, env?: NodeJS.ProcessEnv): boolean;
export function has(thing: Provided): boolean;
export function facts(options: { test: boolean }): Facts;
