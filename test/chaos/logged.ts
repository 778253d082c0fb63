import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** pino's number of the level `error`. */
const ERROR = 50;

/** What all brokers of a world logged as errors, counted by what they said. */
export async function loggedErrors(folder: string): Promise<Readonly<Record<string, number>>> {
  const brokers = join(folder, 'brokers');
  const names = (await readdir(brokers)).filter((name) => name.endsWith('.log'));
  const said: Record<string, number> = {};
  for (const name of names) {
    for (const line of (await readFile(join(brokers, name), 'utf8')).split('\n')) {
      const what = errorIn(line);
      if (what !== undefined) said[what] = (said[what] ?? 0) + 1;
    }
  }
  return said;
}

/** That faults are armed is an error of every armed broker. */
function errorIn(line: string): string | undefined {
  if (!line.startsWith('{') || line.includes('FAULTS ARE ARMED')) return undefined;
  try {
    const entry = JSON.parse(line) as Record<string, unknown>;
    if (Number(entry['level']) < ERROR || entry['level'] === undefined) return undefined;
    const more = ['what', 'problem', 'fault', 'outcome', 'kind'].flatMap((key) =>
      entry[key] === undefined ? [] : [`${key}=${JSON.stringify(entry[key])}`],
    );
    return [String(entry['msg']), ...more].join(' ').slice(0, 400);
  } catch {
    return undefined;
  }
}
