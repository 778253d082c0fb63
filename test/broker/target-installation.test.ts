import { beforeAll, describe, expect, test } from '@jest/globals';
import { targetInstallation } from '../../src/broker/target-installation.ts';
import type { Catalogue } from '../../src/catalogue/catalogue.ts';
import { systemClock } from '../../src/foundation/clock.ts';
import { systemIds } from '../../src/foundation/ids.ts';
import { SOUND, load } from '../catalogue/edited-catalogue.ts';

const LEDGER = { installation: 'te5t', ledger: 'ledger of the tests' };
const NO_SECRETS = {
  read: () => Promise.resolve(undefined),
  write: () => Promise.resolve(),
  remove: () => Promise.resolve(),
};

let sound: Catalogue;

beforeAll(async () => {
  const loaded = await load(SOUND);
  if (!loaded.ok) throw new Error('the catalogue of this repository is broken');
  sound = loaded.catalogue;
});

/** What is installed for group orders_readers, if two scopes hand it out that create so. */
async function shared(schemas: readonly (string | undefined)[]) {
  const scopes = [...sound.scopes].map(([name, scope], index) => {
    const schema = schemas[index];
    const said = schema === undefined ? {} : { creates_in: schema };
    return [name, { ...scope, group: 'orders_readers', ...said }] as const;
  });
  const catalogue = { ...sound, scopes: new Map(scopes) };
  const target = [...sound.targets.values()].find(({ name }) => name === 'orders');
  if (target === undefined) throw new Error('no target');
  const parts = { catalogue, secrets: NO_SECRETS, ids: systemIds(systemClock) };
  const installation = await targetInstallation(parts, target, LEDGER, 'forget');
  if (!installation.ok) throw new Error(installation.failure.detail);
  return installation.value.groups[0];
}

describe('a group that two scopes hand out has the narrower of what they say', () => {
  test.each([
    { schemas: [undefined, undefined], createsIn: undefined },
    { schemas: ['work', 'work'], createsIn: 'work' },
    { schemas: ['work', undefined], createsIn: undefined },
    { schemas: [undefined, 'work'], createsIn: undefined },
    { schemas: ['work', 'play'], createsIn: undefined },
  ])('creates in $schemas: $createsIn', async ({ schemas, createsIn }) => {
    const group = await shared(schemas);
    expect(group).toMatchObject({ name: 'orders_readers', connectionLimit: 2 });
    expect(group?.createsIn).toBe(createsIn);
  });
});
