import type { Catalogue, CatalogueProblem } from './catalogue/catalogue.ts';
import type { Secrets } from './settings/load-settings.ts';

/** Secrets that a catalogue names and that this broker was not given. */
export function missingSecrets(
  { targets }: Pick<Catalogue, 'targets'>,
  secrets: Pick<Secrets, 'named'>,
): readonly CatalogueProblem[] {
  return [...targets.values()].flatMap(({ name, guard, prover }) =>
    Object.entries({ guard, prover }).flatMap(([login, declared]) => {
      if (!declared || secrets.named.has(declared.secret)) return [];
      const setting = `MAYFLY_SECRET_${declared.secret}`;
      return [
        {
          file: `targets/${name}.yaml`,
          line: 1,
          column: 1,
          field: `${login}.secret`,
          problem: `names the secret ${declared.secret}, which is not set`,
          remedy: `Set ${setting}_FILE, then start the broker anew.`,
        },
      ];
    }),
  );
}
