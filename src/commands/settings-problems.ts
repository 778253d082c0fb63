import type { CatalogueProblem } from '../catalogue/catalogue.ts';
import type { SettingProblem } from '../settings/setting.ts';
import { CommandFailure, EXIT } from './exit-code.ts';

/** Stands for a public URL that is not known or plays no part; no issuer can have this audience. */
export const UNKNOWN_PUBLIC_URL = 'https://public-url.invalid';

/** All missing and wrong settings in one failure, a line each; `more` is said behind them. */
export function settingsFailure(
  problems: readonly SettingProblem[],
  more?: CommandFailure,
): CommandFailure {
  const lines = problems.map(({ name, problem, remedy }) => `  ${name} ${problem}. ${remedy}`);
  const behind = more ? [more.message] : [];
  const sentences = ['these settings are not right:', ...lines, ...behind];
  return new CommandFailure(EXIT.usage, sentences.join('\n'));
}

/** The same for what `mayfly check` would find. */
export function catalogueFailure(
  folder: string,
  problems: readonly CatalogueProblem[],
): CommandFailure {
  const lines = problems.map(
    ({ file, line, column, field, problem, remedy }) =>
      `  ${file}:${line}:${column} ${field} ${problem}. ${remedy}`,
  );
  const heading = `the catalogue in ${folder} is not right (mayfly check --require-settings --config ${folder}):`;
  return new CommandFailure(EXIT.usage, [heading, ...lines].join('\n'));
}
