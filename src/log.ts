/** One JSON line an event; for a person's eyes on a terminal. */
import { type Logger, pino } from "pino";

export type { Logger } from "pino";

/** @param stream where it goes. @param colour pretty instead of JSON. */
export async function makeLogger(
  stream: { readonly fd: number; readonly isTTY?: boolean },
  colour = stream.isTTY === true,
): Promise<Logger> {
  const options = {
    base: {},
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  // Synchronous: the last line before an exit is the one that is needed.
  if (!colour) return pino(options, pino.destination({ fd: stream.fd, sync: true }));
  // Here, since a log that a program reads has no use for it.
  const { default: pretty } = await import("pino-pretty");
  return pino(options, pretty({ colorize: true, sync: true, destination: stream.fd, translateTime: "HH:MM:ss.l" }));
}
