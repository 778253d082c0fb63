import type { Clock } from '../../foundation/clock.ts';
import type { Ids } from '../../foundation/ids.ts';
import { SecretText } from '../../foundation/secret-text.ts';
import { CLOCK_SKEW_MAX_MS, clusterChecks } from './cluster-checks.ts';
import { connectTarget } from './connect-target.ts';
import type { TargetConfig } from './connect-target.ts';
import { errorWords } from './error-words.ts';
import type { CatalogueCheck, Finding } from './finding.ts';
import { ownerOf } from './installation-plan.ts';
import type { RoutinesOwner } from './installation-plan.ts';
import { rehearsal } from './rehearsal.ts';
import type { Rehearse } from './rehearsal.ts';
import { roleChecks } from './role-checks.ts';
import { schemaChecks } from './schema-checks.ts';
import { openConnections } from './warm-connections.ts';
import type { WarmConnections } from './warm-connections.ts';

/** What a target is compared with. */
export type DiagnosedTarget = {
  readonly config: TargetConfig;
  /** OpenBao's login at the target. */
  readonly admin: string;
  readonly routinesOwner: RoutinesOwner;
  readonly groups: readonly string[];
  /** Replicas that the target declares. */
  readonly declaredReplicas: number;
  readonly ledger: {
    /** The ledger's clock. */
    now(): Promise<Date>;
    /** `system_identifier` of the ledger's cluster; null: not known. */
    readonly cluster: string | null;
  };
  /** Absent: no rehearsal, and that is a finding. */
  readonly rehearse?: Rehearse;
};

/**
 * Every demand on a Postgres target that Postgres itself can answer, met or not. A target out of
 * reach is a finding, never an error. Nothing but the rehearsal writes, and it leaves nothing.
 */
export async function diagnoseTarget(
  target: DiagnosedTarget,
  clock: Clock,
  ids: Ids,
): Promise<readonly Finding[]> {
  const { config } = target;
  const catalogue = await openConnections(config, config.prover, 1, clock);
  const access = await connectTarget({ ...config, maxConnections: 1 }, clock);
  try {
    const reachable = [
      await reach('prover_reachable', config.prover.username, () => serverOf(catalogue)),
      await reach('guard_reachable', config.guard.username, async () => {
        await access.guard.list();
      }),
    ];
    if (reachable.some(({ ok }) => !ok)) return reachable;
    const owner = ownerOf({
      installation: config.installation,
      routinesOwner: target.routinesOwner,
      admin: { username: target.admin },
    });
    const checks = [
      ...clusterChecks(target.declaredReplicas),
      ...roleChecks({
        owner,
        admin: target.admin,
        guard: config.guard.username,
        prover: config.prover.username,
        groups: target.groups,
      }),
      ...schemaChecks(config.installation, {
        owner,
        admin: target.admin,
        guard: config.guard.username,
      }),
    ];
    const findings: Finding[] = [...reachable];
    for (const check of checks) findings.push(await answer(catalogue, check));
    findings.push(await passwordsAreChecked(target, clock));
    findings.push(await ownCluster(catalogue, target.ledger.cluster));
    findings.push(await clocks(() => access.guard.now(), target.ledger));
    findings.push(...(await rehearsals(target, access, clock, ids)));
    return findings;
  } finally {
    await Promise.all([catalogue.close(), access.close()]);
  }
}

async function answer(catalogue: WarmConnections, asked: CatalogueCheck): Promise<Finding> {
  const { check, severity, met, remedy } = asked;
  try {
    const statement = { name: check, text: asked.faults };
    const rows = await catalogue.ask<{ seen: string }>(statement, []);
    if (rows.length === 0) return { check, ok: true, severity, seen: met, remedy: '' };
    return { check, ok: false, severity, seen: rows.map(({ seen }) => seen).join('; '), remedy };
  } catch (error) {
    const seen = `this could not be asked: ${errorWords(error)}`;
    return { check, ok: false, severity, seen, remedy };
  }
}

async function reach(
  check: string,
  username: string,
  work: () => Promise<unknown>,
): Promise<Finding> {
  const severity = 'broken';
  try {
    await work();
    return { check, ok: true, severity, seen: `${username} is in`, remedy: '' };
  } catch (error) {
    return {
      check,
      ok: false,
      severity,
      seen: `${username}: ${errorWords(error)}`,
      remedy:
        "check the target's address, its CA file and the login's secret; run mayfly backend apply",
    };
  }
}

async function serverOf(catalogue: WarmConnections): Promise<string> {
  const statement = {
    name: 'cluster',
    text: 'select system_identifier::text as cluster from pg_control_system()',
  };
  const [row] = await catalogue.ask<{ cluster: string }>(statement, []);
  return row?.cluster ?? '';
}

/** A server that trusts its network lets a dead credential's name in as soon as it is made again. */
async function passwordsAreChecked({ config }: DiagnosedTarget, clock: Clock): Promise<Finding> {
  const wrong = new SecretText(`not ${config.prover.username}`);
  const login = { username: config.prover.username, password: wrong };
  const connections = await openConnections(config, login, 1, clock);
  const check = 'passwords_are_checked';
  const severity = 'broken';
  try {
    await serverOf(connections);
    const seen = 'the server lets this login in with a wrong password';
    const remedy = 'use scram-sha-256 in pg_hba.conf for every host line, and reload';
    return { check, ok: false, severity, seen, remedy };
  } catch {
    return { check, ok: true, severity, seen: 'a wrong password is refused', remedy: '' };
  } finally {
    await connections.close();
  }
}

async function ownCluster(catalogue: WarmConnections, ledger: string | null): Promise<Finding> {
  const same = ledger !== null && (await serverOf(catalogue)) === ledger;
  return {
    check: 'own_cluster',
    ok: !same,
    severity: 'notice',
    seen: same
      ? 'the ledger is on the same cluster as this target'
      : ledger === null
        ? 'the ledger’s cluster is not known'
        : 'the ledger is on another cluster',
    remedy: same ? 'move one of them: who breaks the target must not hold the record of it' : '',
  };
}

/** The ledger is asked before and after, so that a slow answer is not taken for a wrong clock. */
async function clocks(
  targetNow: () => Promise<Date>,
  ledger: DiagnosedTarget['ledger'],
): Promise<Finding> {
  const before = (await ledger.now()).getTime();
  const there = (await targetNow()).getTime();
  const after = (await ledger.now()).getTime();
  const skew = there < before ? there - before : there > after ? there - after : 0;
  const ok = Math.abs(skew) <= CLOCK_SKEW_MAX_MS;
  return {
    check: 'clocks',
    ok,
    severity: 'broken',
    seen: `the target's clock differs from the ledger's by ${skew} ms`,
    remedy: ok ? '' : 'run a time service on both hosts: deadlines are enforced by both clocks',
  };
}

async function rehearsals(
  { config, groups, rehearse }: DiagnosedTarget,
  access: Awaited<ReturnType<typeof connectTarget>>,
  clock: Clock,
  ids: Ids,
): Promise<readonly Finding[]> {
  if (rehearse === undefined) {
    const seen = 'no credential was made and ended';
    const remedy = "give doctor a way to make one: OpenBao, or the admin login's password file";
    return [{ check: 'rehearsal_make', ok: false, severity: 'notice', seen, remedy }];
  }
  const findings: Finding[] = [];
  for (const group of groups) {
    findings.push(...(await rehearsal(access, config.installation, group, rehearse, clock, ids)));
  }
  return findings;
}
