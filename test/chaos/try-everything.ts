import { sleep } from './random.ts';
import type { Stage } from './stage.ts';
import { tryLogin } from './wire.ts';

/** Logins under way at a time. */
const AT_A_TIME = 8;

/** Attempts of a login that the target did not answer. */
const ATTEMPTS = 3;

/** Tries to log in with every credential that was ever handed out; all must be refused. */
export async function tryEverything({ record, world }: Stage): Promise<{
  readonly refused: number;
  readonly works: number;
  readonly unknown: number;
}> {
  const found = { refused: 0, works: 0, unknown: 0 };
  const left = [...record.handed];
  await Promise.all(
    Array.from({ length: AT_A_TIME }, async () => {
      for (let handed = left.pop(); handed; handed = left.pop()) {
        const login = await answered(() => tryLogin(handed?.uri ?? '', world.target.port));
        if (login === 'refused') found.refused += 1;
        else if (login === 'unreachable') found.unknown += 1;
        else {
          found.works += 1;
          record.violate('a credential works at the end', handed.name);
        }
      }
    }),
  );
  if (found.unknown > 0) record.violate('credentials could not be tried', `${found.unknown}`);
  return found;
}

async function answered(
  login: () => ReturnType<typeof tryLogin>,
): Promise<Awaited<ReturnType<typeof tryLogin>>> {
  let last = await login();
  for (let attempt = 1; attempt < ATTEMPTS && last === 'unreachable'; attempt += 1) {
    await sleep(500);
    last = await login();
  }
  return last;
}
