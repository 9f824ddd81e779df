export function compile(sources: string, output: string): void;
