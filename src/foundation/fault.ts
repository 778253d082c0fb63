/** What may be said in a log about an unexpected error: its kind and place, never its message. */
export type Fault = {
  readonly kind: string;
  readonly code?: string;
  /** Stack frames, innermost first. */
  readonly at: readonly string[];
};

/** Frames that are kept: enough to find the place, short enough for one log line. */
const FRAMES = 8;

/** Letters, digits and a little more: what error names and codes are made of. */
const PLAIN_WORD = /^[\w.-]{1,64}$/;

/**
 * Describes a thrown value without its message: messages of drivers and parsers quote the data that
 * they choked on, and that data may be a token or a credential.
 */
export function faultOf(thrown: unknown): Fault {
  if (!(thrown instanceof Error)) return { kind: typeof thrown, at: [] };
  const code = 'code' in thrown ? thrown.code : undefined;
  return {
    kind: PLAIN_WORD.test(thrown.name) ? thrown.name : 'Error',
    ...(typeof code === 'string' && PLAIN_WORD.test(code) ? { code } : {}),
    at: frames(thrown),
  };
}

function frames(error: Error): readonly string[] {
  // The message stands before the frames, and may itself hold lines that look like frames.
  const stack = error.stack ?? '';
  const heading = stack.indexOf(error.message);
  if (heading < 0) return [];
  return stack
    .slice(heading + error.message.length)
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.startsWith('at '))
    .slice(0, FRAMES);
}
