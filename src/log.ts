/** One JSON line an event; for a person's eyes on a terminal. */
import { type Logger, pino } from "pino";
import pretty from "pino-pretty";

export type { Logger } from "pino";

/** @param stream where it goes. @param colour pretty instead of JSON. */
export function makeLogger(
  stream: { readonly fd: number; readonly isTTY?: boolean },
  colour = stream.isTTY === true,
): Logger {
  const options = {
    base: {},
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  // Synchronous: the last line before an exit is the one that is needed.
  if (!colour) return pino(options, pino.destination({ fd: stream.fd, sync: true }));
  return pino(options, pretty({ colorize: true, sync: true, destination: stream.fd, translateTime: "HH:MM:ss.l" }));
}
