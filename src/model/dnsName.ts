/**
 * Names as Istio checks them (pkg/config/labels, pkg/config/validation/agent). Each check returns why a name is
 * refused, or undefined. Capital letters are fine, as there.
 */

const label = "[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?";
const labelForm = new RegExp(`^${label}$`);

/** RFC 1123, at most 63 characters. */
export function isDnsLabel(text: string): boolean {
  return text.length <= 63 && labelForm.test(text);
}

/** A fully qualified name: labels, the last of which is not a number; one dot at its end is fine. */
export function refuseFqdn(text: string): string | undefined {
  return refuseLength(text) ?? refuseLabels(text);
}

/** A fully qualified name whose first label may be `*`. */
export function refuseWildcardName(text: string): string | undefined {
  const long = refuseLength(text);
  if (long !== undefined) return long;
  if (text.includes("*") && text !== "*" && !text.startsWith("*.")) return "* must be the whole first label";
  const dot = text.indexOf(".");
  const first = dot < 0 ? text : text.slice(0, dot);
  if (first !== "*" && !isDnsLabel(first)) return refusedLabel(first);
  return dot < 0 ? undefined : refuseLabels(text.slice(dot + 1));
}

function refuseLength(text: string): string | undefined {
  if (text === "") return "a DNS name must not be empty";
  return text.length > 255 ? "a DNS name has at most 255 characters" : undefined;
}

function refusedLabel(text: string): string {
  return `${JSON.stringify(text.slice(0, 70))} is not a DNS label: letters, digits and "-", at most 63 characters`;
}

function refuseLabels(text: string): string | undefined {
  const labels = text.split(".");
  const last = labels.at(-1) ?? "";
  // Go's strconv.Atoi takes a sign; what has one is no label either.
  if (/^[0-9]+$/.test(last)) return `the last label must not be a number: ${last.slice(0, 70)}`;
  const bad = (last === "" ? labels.slice(0, -1) : labels).find((part) => !isDnsLabel(part));
  return bad === undefined ? undefined : refusedLabel(bad);
}
