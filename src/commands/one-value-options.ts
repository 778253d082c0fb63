import type { Command, Option } from 'commander';

/**
 * Makes every option of `command` and of those below it that takes one value take exactly one, and
 * no empty one. By itself the last of several would count, and an empty one would select
 * everything: `revoke --agent a --agent b` ends only what b has.
 */
export function takeOneValueEach(command: Command): void {
  for (const option of command.options) if (takesOneValue(option)) watch(command, option);
  command.hook('preAction', refuseEmptyArguments);
  for (const below of command.commands) takeOneValueEach(below);
}

function takesOneValue({ required, optional, variadic }: Option): boolean {
  return (required || optional) && !variadic;
}

function watch(command: Command, option: Option): void {
  let came = false;
  command.on(`option:${option.name()}`, (value: string | null) => {
    if (came) command.error(`error: option '${option.flags}' came twice; give it once.`);
    if (value === '')
      command.error(`error: option '${option.flags}' needs a value, not an empty one.`);
    came = true;
  });
}

/** As a variable that is not set leaves one: `mayfly quarantine "$AGENT"`. */
function refuseEmptyArguments(_: Command, action: Command): void {
  const empty = action.processedArgs.findIndex((value) => value === '');
  const name = action.registeredArguments[empty]?.name();
  if (name) action.error(`error: argument '${name}' needs a value, not an empty one.`);
}
