/** The outcome of a step that may fail in an expected way. Unexpected faults throw. */
export type Result<Value, Problem> =
  { readonly ok: true; readonly value: Value } | { readonly ok: false; readonly failure: Problem };

export function succeed<Value>(value: Value): { ok: true; value: Value } {
  return { ok: true, value };
}

export function fail<Problem>(failure: Problem): { ok: false; failure: Problem } {
  return { ok: false, failure };
}
