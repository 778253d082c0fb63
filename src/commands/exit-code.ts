/** What the exit status of `mayfly` means; docs/commands.md publishes it. */
export const EXIT = {
  ok: 0,
  /** The command ran and what it looked for does not hold: a problem, a finding, a refusal. */
  failed: 1,
  /** Wrong arguments, settings or files: nothing was tried. */
  usage: 2,
  /** A broker, database or backend could not be reached. */
  unreachable: 3,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Ends a command with one sentence for the person who typed it. Never holds a secret. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure';
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, sentence: string) {
    super(sentence);
    this.exitCode = exitCode;
  }
}
