import type { Result } from '../foundation/result.ts';

/** One setting: its name in the environment, its form, and its line in docs/settings.md. */
export type Setting<Value> = {
  readonly name: string;
  /** What it is for, as docs/settings.md says it. */
  readonly meaning: string;
  /** As it would be written; absent: none. */
  readonly default?: string;
  /** May also be given as a file, by the name with `_FILE` behind; its value is never shown. */
  readonly secret?: true;
  /** What to do about a missing or wrong one. */
  readonly remedy: string;
  /** Fails with what is wrong, in words that do not repeat the text. */
  readonly parse: (text: string) => Result<Value, string>;
};

/** What is wrong with one setting. */
export type SettingProblem = {
  readonly name: string;
  readonly problem: string;
  readonly remedy: string;
};

/** Makes a setting, so that the type of its value follows from its parser. */
export function setting<Value>(definition: Setting<Value>): Setting<Value> {
  return definition;
}
