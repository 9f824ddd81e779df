/** Errors that end a command with an exit code of their own. Anything else is a failure: 1. */

/** Wrong usage or bad input: exit 2. */
export class UsageError extends Error {}

/** The kernel or the node cannot do it: exit 3. The message is one sentence that says what is missing and how to get it. */
export class NodeError extends Error {}
