import type { CatalogueProblem } from '../catalogue/catalogue.ts';
import type { SettingProblem } from '../settings/setting.ts';
import { CommandFailure, EXIT } from './exit-code.ts';

/** All missing and wrong settings in one failure, a line each. */
export function settingsFailure(problems: readonly SettingProblem[]): CommandFailure {
  const lines = problems.map(({ name, problem, remedy }) => `  ${name} ${problem}. ${remedy}`);
  return new CommandFailure(EXIT.usage, ['these settings are not right:', ...lines].join('\n'));
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
