/**
 * Whose words decided, for `shunt explain --live`: the kernel knows a rule by its number, the agent by its document.
 * One end asks over the control socket, the other answers.
 */
import { UsageError } from "../errors.js";
import { podName, type Snapshot } from "../model/pod.js";
import { type Reason, reasons } from "../model/verdict.js";
import { originOfReason } from "../policy/explain.js";
import type { Origin } from "../policy/explainOrigin.js";
import type { PolicyOptions } from "../policy/podPolicy.js";
import { AgentError, askAgent } from "../web/controlClient.js";
import { type Asked, parseQuestion } from "./explainQuestion.js";

const isReason = (text: string): text is Reason => (reasons as readonly string[]).includes(text);

/**
 * The agent's end.
 * @param query pod (`namespace/name` or uid), reason, and the flags of `shunt explain` that are the question.
 * @returns null for what nobody writes, such as loopback. @throws UsageError
 */
export function findOrigin(snapshot: Snapshot, options: PolicyOptions, query: URLSearchParams): Origin | null {
  const { pod: wanted = "", reason = "", udp, ipv6, ...flags } = Object.fromEntries(query);
  const pod = snapshot.pods.find((each) => podName(each) === wanted || each.uid === wanted);
  if (pod === undefined) throw new UsageError(`there is no pod ${wanted}`);
  if (!isReason(reason)) throw new UsageError(`${reason} is no reason`);
  const question = parseQuestion({ ...flags, udp: udp === "true", ipv6: ipv6 === "true" });
  const { sidecars, mesh } = snapshot;
  return originOfReason(pod, { ...options, sidecars, mesh }, question, reason) ?? null;
}

/**
 * The other end.
 * @returns null as {@link findOrigin}; undefined if the agent cannot tell: the pod has just gone, or the agent.
 */
export async function askOrigin(
  control: string,
  pod: string,
  reason: Reason,
  asked: Asked,
): Promise<Origin | null | undefined> {
  const query = new URLSearchParams({ pod, reason });
  for (const [flag, value] of Object.entries(asked)) if (value !== undefined) query.set(flag, `${value}`);
  try {
    const answer = await askAgent(control, `/origin?${query}`);
    return answer.agent ? (answer.body as Origin | null) : undefined;
  } catch (error) {
    if (error instanceof AgentError) return undefined;
    throw error;
  }
}
