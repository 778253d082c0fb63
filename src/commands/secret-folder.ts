import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SecretStore } from '../broker/backend-parts.ts';
import { codeOf } from '../foundation/failure.ts';
import { SecretText } from '../foundation/secret-text.ts';
import { CommandFailure, EXIT } from './exit-code.ts';

/** Secrets as files of mode 0600 in one folder of mode 0700, each named after its secret. */
export async function secretFolder(folder: string): Promise<SecretStore> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await chmod(folder, 0o700);
  return {
    async read(name) {
      try {
        return new SecretText((await readFile(join(folder, name), 'utf8')).trimEnd());
      } catch (error) {
        if (codeOf(error) === 'ENOENT') return undefined;
        throw new CommandFailure(
          EXIT.usage,
          `The secret file ${join(folder, name)} is unreadable.`,
        );
      }
    },
    async write(name, secret) {
      // Whole or not at all, also when we are killed in between.
      const draft = join(folder, `${name}.new`);
      await rm(draft, { force: true });
      await writeFile(draft, secret.reveal(), { mode: 0o600, flag: 'wx' });
      await rename(draft, join(folder, name));
    },
    remove: (name) => rm(join(folder, name), { force: true }),
  };
}
