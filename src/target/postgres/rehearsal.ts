import type { Clock } from '../../foundation/clock.ts';
import type { Ids } from '../../foundation/ids.ts';
import { encodeName } from '../credential-name.ts';
import type { TargetAccess } from '../target-access.ts';
import { judge } from '../verdict.ts';
import type { Verdict } from '../verdict.ts';
import { errorWords } from './error-words.ts';
import type { Finding } from './finding.ts';

/** Seconds that a rehearsed credential would live if nobody ended it. */
const REHEARSAL_LIFE_S = 60;

/** Makes a credential of this name, as OpenBao does (through it, or with the admin's login). */
export type Rehearse = (name: string, group: string) => Promise<void>;

/**
 * Makes a credential, looks at it while it lives, ends it, and looks again. It shows that the prover
 * sees what lives: a prover that sees nothing would call everything dead.
 */
export async function rehearsal(
  access: TargetAccess,
  installation: string,
  group: string,
  rehearse: Rehearse,
  clock: Clock,
  ids: Ids,
): Promise<readonly Finding[]> {
  const deadline = new Date(clock.now().getTime() + REHEARSAL_LIFE_S * 1000);
  const name = encodeName({ installation, leaseId: ids.uuid(), deadline });
  try {
    await rehearse(name, group);
  } catch (error) {
    await access.guard.end([name]);
    const seen = `a credential of ${group} could not be made: ${errorWords(error)}`;
    const remedy =
      'run mayfly backend apply; the database config needs password_authentication = scram-sha-256';
    return [{ check: 'rehearsal_make', ok: false, severity: 'broken', seen, remedy }];
  }
  const made = `a credential of ${group} was made`;
  return [
    { check: 'rehearsal_make', ok: true, severity: 'broken', seen: made, remedy: '' },
    ...(await endRehearsed(access, name)),
  ];
}

async function endRehearsed(access: TargetAccess, name: string): Promise<readonly Finding[]> {
  try {
    const [before] = await access.prover.look([{ name, oid: null }]);
    const [ending] = await access.guard.end([name]);
    if (ending === undefined) throw new Error('the guard left the name unanswered');
    const [look] = await access.prover.look([{ name, oid: ending.oid }]);
    const verdict = judge({
      ending,
      look,
      declared: 'proven',
      seenOid: null,
      minted: true,
      backendSaid: null,
    });
    return [
      proverFinding(before?.canLogin === true, before?.server, ending.server),
      endFinding(verdict),
    ];
  } catch (error) {
    const seen = `it could not be ended: ${errorWords(error)}`;
    const remedy = `run mayfly backend apply; the name lives ${REHEARSAL_LIFE_S} s at most`;
    return [{ check: 'rehearsal_end', ok: false, severity: 'broken', seen, remedy }];
  }
}

function endFinding(verdict: Verdict): Finding {
  const check = 'rehearsal_end';
  if (!verdict.dead) {
    const remedy = 'mend what the other findings name; the credential ends by its own deadline';
    return { check, ok: false, severity: 'broken', seen: `alive: ${verdict.reason}`, remedy };
  }
  const flaw = verdict.lowered ?? verdict.residue;
  return {
    check,
    ok: flaw === null,
    severity: 'lowers',
    seen: `dead, ${flaw ?? 'proven'}`,
    remedy:
      flaw === null
        ? ''
        : 'remove what it names: an event trigger, a right that PUBLIC has, or a prover elsewhere',
  };
}

function proverFinding(sawIt: boolean, prover: string | undefined, guard: string): Finding {
  const ok = sawIt && prover === guard;
  return {
    check: 'prover_sees',
    ok,
    severity: 'lowers',
    seen: ok
      ? `the prover saw the living credential on ${guard}`
      : `the guard is at ${guard}, the prover at ${prover ?? 'no server'}, where it ${sawIt ? 'saw' : 'did not see'} the living credential`,
    remedy: ok ? '' : "give the prover the target's own address and database",
  };
}
