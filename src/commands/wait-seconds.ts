import { InvalidArgumentError, Option } from 'commander';

/** What `Prefer: wait=N` allows (docs/limits.md). */
const WAIT_SECONDS_MAX = 60;
const WAIT_SECONDS = 10;

/** How long a command waits for deaths: whole seconds. */
export function waitOption(): Option {
  return new Option('--wait <seconds>', `wait so long for the deaths (at most ${WAIT_SECONDS_MAX})`)
    .argParser((text) => {
      const seconds = Number(text);
      if (/^\d{1,2}$/.test(text) && seconds <= WAIT_SECONDS_MAX) return seconds;
      throw new InvalidArgumentError(`Whole seconds, at most ${WAIT_SECONDS_MAX}.`);
    })
    .default(WAIT_SECONDS);
}
