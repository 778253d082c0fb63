import { join } from 'node:path';
import { BROKER_SECRETS } from './broker/backend-parts.ts';
import type { SecretStore } from './broker/backend-parts.ts';
import type { DiagnosisParts } from './broker/diagnose-backend.ts';
import type { Catalogue } from './catalogue/catalogue.ts';
import { ledgerAddress, openLedgerAdministration } from './compose-backend.ts';
import type { Administrators } from './compose-backend.ts';
import { systemClock } from './foundation/clock.ts';
import { systemIds } from './foundation/ids.ts';
import type { Log } from './foundation/log.ts';
import { clusterOf } from './ledger/provision/cluster-of.ts';
import { connectLedger } from './ledger/postgres/connect-ledger.ts';
import { connectBackend } from './mint/connect-backend.ts';

export type OpenDiagnosis = { readonly parts: DiagnosisParts; close(): Promise<void> };

const clock = systemClock;

/**
 * Opens what doctor needs: the ledger and OpenBao as their administrators, and the broker's own
 * logins out of `secretsDir`. Rejects where the ledger cannot be asked at all.
 */
export async function openDiagnosis(
  catalogue: Catalogue,
  admins: Omit<Administrators, 'targets'>,
  secrets: SecretStore,
  secretsDir: string,
  log: Log,
): Promise<OpenDiagnosis> {
  const ids = systemIds(clock);
  const administration = await openLedgerAdministration(admins, secrets, ids, log);
  const { identity } = await administration.plan();
  const { token, ...at } = admins.backend;
  const logins = { minter: login(secretsDir, 'minter'), reaper: login(secretsDir, 'reaper') };
  const identities = await connectBackend({ ...at, ...logins }, { clock, ids, log });
  await identities.start();
  const ledger = connectLedger({
    ...administration.address('app'),
    poolSize: 1,
    replica: ids.uuid(),
    claimSeconds: 1,
    clock,
    log,
  });
  const parts: DiagnosisParts = {
    catalogue,
    secrets,
    clock,
    ids,
    ledger: {
      identity,
      diagnose: () => administration.diagnose(),
      // Whether the ledger answers is a finding of its own.
      now: () => ledger.now().catch(() => clock.now()),
      cluster: await clusterOf(ledgerAddress(admins.ledger)).catch(() => null),
    },
    backend: { at, token, logins, identities },
  };
  const close = async () => {
    await Promise.all([identities.stop(), ledger.close()]);
  };
  return { parts, close };
}

function login(folder: string, identity: 'minter' | 'reaper') {
  const names = {
    minter: [BROKER_SECRETS.minterRoleId, BROKER_SECRETS.minterSecretId],
    reaper: [BROKER_SECRETS.reaperRoleId, BROKER_SECRETS.reaperSecretId],
  } as const;
  const [roleId, secretId] = names[identity];
  return {
    kind: 'approle' as const,
    roleIdFile: join(folder, roleId),
    secretIdFile: join(folder, secretId),
  };
}
