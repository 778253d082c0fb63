import type { Catalogue } from '../catalogue/catalogue.ts';
import type { Target } from '../catalogue/target.ts';
import type { Clock } from '../foundation/clock.ts';
import type { Ids } from '../foundation/ids.ts';
import type { SecretText } from '../foundation/secret-text.ts';
import type { Finding as LedgerFinding } from '../ledger/provision/finding.ts';
import type { Minter, Reaper } from '../mint/backend.ts';
import type { LoginMethod } from '../mint/login-method.ts';
import type { BackendAddress } from '../mint/provision/administrator.ts';
import { examineBackend } from '../mint/provision/examine-backend.ts';
import { diagnoseTarget } from '../target/postgres/diagnosis.ts';
import { backendDesign } from './backend-design.ts';
import type { BackendParts, LedgerIdentity } from './backend-parts.ts';
import { diagnosed } from './diagnosed.ts';
import type { Diagnosed } from './diagnosed.ts';
import { rehearseThrough } from './rehearse-mint.ts';

/** What doctor works with: the broker's own logins, and administrators to look behind them. */
export type DiagnosisParts = Pick<BackendParts, 'secrets'> & {
  readonly catalogue: Catalogue;
  readonly ledger: {
    /** Null while there is no ledger. */
    readonly identity: LedgerIdentity | null;
    diagnose(): Promise<readonly LedgerFinding[]>;
    now(): Promise<Date>;
    /** `system_identifier` of its cluster; null: not known. */
    readonly cluster: string | null;
  };
  readonly backend: {
    readonly at: BackendAddress;
    readonly token: SecretText;
    readonly logins: { readonly minter: LoginMethod; readonly reaper: LoginMethod } | null;
    /** Absent: no credential is made on trial, and that is a finding. */
    readonly identities?: { readonly minter: Minter; readonly reaper: Reaper };
  };
  readonly clock: Clock;
  readonly ids: Ids;
};

/**
 * Looks at everything that a broker needs and says what is wrong and what to do. Changes nothing
 * that stays: credentials that are made on trial are ended by the guard and settled with OpenBao.
 */
export async function diagnoseBackend(parts: DiagnosisParts): Promise<readonly Diagnosed[]> {
  const { identity } = parts.ledger;
  if (identity === null) return [ledgerMissing()];
  const ledger = diagnosed('ledger', await parts.ledger.diagnose());
  const backend = await examineBackend({
    ...parts.backend,
    design: backendDesign(parts, identity),
    clock: parts.clock,
  });
  const targets: Diagnosed[] = [];
  for (const target of parts.catalogue.targets.values()) {
    targets.push(...(await diagnoseOne(parts, target, identity)));
  }
  return [...ledger, ...diagnosed('openbao', backend), ...targets];
}

async function diagnoseOne(
  parts: DiagnosisParts,
  target: Target,
  { installation }: LedgerIdentity,
): Promise<readonly Diagnosed[]> {
  const where = `target ${target.name}`;
  const { guard, prover, endpoints } = target;
  const guardPassword = guard && (await parts.secrets.read(guard.secret));
  const proverPassword = prover && (await parts.secrets.read(prover.secret));
  if (!guard || !prover || !guardPassword || !proverPassword) return [loginsMissing(where)];
  const { host, port } = target.server ?? target.client;
  const rehearsal = rehearseThrough(parts.backend.identities, parts.catalogue, target);
  try {
    const findings = await diagnoseTarget(
      {
        config: {
          host,
          port,
          database: target.database,
          tls: tlsOf(target),
          installation,
          guard: { username: guard.username, password: guardPassword },
          prover: { username: prover.username, password: proverPassword },
          maxConnections: 1,
        },
        admin: target.admin.username,
        routinesOwner: target.routines_owner,
        groups: target.groups,
        declaredReplicas: endpoints.filter(({ kind }) => kind === 'replica').length,
        ledger: parts.ledger,
        ...(rehearsal ? { rehearse: rehearsal.make } : {}),
      },
      parts.clock,
      parts.ids,
    );
    return diagnosed(where, findings);
  } finally {
    await rehearsal?.settle();
  }
}

function tlsOf({ tls, ca_file }: Target): 'disable' | { readonly caFile?: string } {
  if (tls === 'disable') return tls;
  return ca_file === undefined ? {} : { caFile: ca_file };
}

function ledgerMissing(): Diagnosed {
  return {
    where: 'ledger',
    check: 'ledger_schema',
    ok: false,
    severity: 'error',
    seen: 'there is no ledger in this database',
    remedy: 'run "mayfly backend apply"',
  };
}

function loginsMissing(where: string): Diagnosed {
  return {
    where,
    check: 'guard_reachable',
    ok: false,
    severity: 'lowers',
    seen: 'the secret of its guard or of its prover is not known here',
    remedy:
      'name guard and prover in the catalogue, run "mayfly backend apply", and give doctor the same --secrets-dir',
  };
}
