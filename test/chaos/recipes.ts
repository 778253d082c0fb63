import { FAIL_POINTS } from '../../dist/foundation/fail-points.js';

export type Operation =
  | 'complete'
  | 'abandon'
  | 'revoke_lease'
  | 'revoke_task'
  | 'hand_back'
  | 'give_up'
  | 'denied'
  | 'retry'
  | 'quarantine'
  | 'revoke_selected'
  | 'reconcile'
  | 'confirm_ledger'
  | 'linger';

/** How a broker is brought to one fail point. */
export type Recipe = {
  /** Faults that come before, so that the point is reached at all. */
  readonly first: readonly string[];
  /** What is asked of the armed broker; none: its clock brings it there. */
  readonly ask: readonly Operation[];
  /** Whose exchange and whose ending go to the armed broker. */
  readonly at: 'exchange' | 'ending';
  /** Something at the target that only an administrator can do. */
  readonly plant?: 'residue' | 'risen' | 'orphans';
  /** A polite end is what leads there. */
  readonly stop?: true;
  /** What comes by a schedule of minutes is made due, again and again. */
  readonly due?: 'self_check';
  /** Seconds until it counts as not reached. */
  readonly patience: number;
};

/**
 * A confirmation only compares. The steps by which a reconciliation ends what it finds lie on its way
 * in the code, behind the question whether this is a dry run, and no confirmation takes them. And only
 * where no guard saw the user is OpenBao asked for a lease before it ends it; here guards see them all.
 */
const NEVER_TAKEN =
  /^(confirm_ledger\.(record_resurrected|guard_end|prover_look|reaper_revoke|end_lease|record_deaths|record_late|record_settled)|(complete|exchange|revoke|sweep)\.reaper_look_up)\./;

export const OUT_OF_REACH: readonly string[] = FAIL_POINTS.filter((point) =>
  NEVER_TAKEN.test(point),
);

export const POINTS: readonly string[] = FAIL_POINTS.filter((point) => !NEVER_TAKEN.test(point));

export const RECONCILES: boolean = POINTS.some((point) => point.startsWith('reconcile.'));

/** Steps of an ending; within an exchange they follow only where something went wrong. */
const ENDING = /^(guard_end|prover_look|reaper_revoke|record_deaths|record_settled|end_lease)$/;

const LOST_RECORD = 'exchange.record_mint.after@1:fail';
const LOST_MINT = 'exchange.minter_credential.after@1:fail';

export function recipeFor(point: string): Recipe {
  const [useCase = '', step = ''] = point.split('.');
  switch (useCase) {
    case 'exchange':
      return { first: beforeExchange(step), ask: exchangeAsk(step), at: 'exchange', patience: 12 };
    case 'complete':
      return { first: lateFirst(useCase, step), ask: ['complete'], at: 'ending', patience: 12 };
    case 'revoke':
      return {
        first: lateFirst(useCase, step),
        ask: revokeAsk(step),
        at: 'ending',
        ...planted(step, 12),
      };
    case 'confirm_ledger':
      return { first: [], ask: ['confirm_ledger'], at: 'ending', patience: 25 };
    case 'stop':
      return { first: [], ask: [], at: 'ending', stop: true, patience: 12 };
    case 'sweep':
      return sweepRecipe(step);
    case 'reconcile':
      return {
        first: beforeReconcile(step),
        ask: ['reconcile'],
        at: 'ending',
        plant: 'orphans',
        patience: 40,
      };
    default:
      return { first: [], ask: [], at: 'ending', patience: 12 };
  }
}

/** Steps that of the sweep only the self-check of quarantine takes. */
const SELF_CHECK =
  /^(take_self_check|release_agent|open_lease|quarantine_agent|record_mint|record_denial|end_task|record_self_check)$/;

function sweepRecipe(step: string): Recipe {
  const common = { at: 'ending', ...planted(step, 25) } as const;
  if (SELF_CHECK.test(step)) return { ...common, first: [], ask: [], due: 'self_check' };
  // What a quarantine did not live to fence.
  if (step === 'fence_selected') {
    return { ...common, first: ['revoke.fence_selected.before@1+:fail'], ask: ['quarantine'] };
  }
  // A revocation by selector whose replica did not live to end it.
  if (step === 'end_stop') {
    return {
      ...common,
      first: ['revoke.end_stop.before@1+:fail'],
      ask: ['revoke_selected'],
      patience: 45,
    };
  }
  return { ...common, first: lateFirst('sweep', step), ask: [] };
}

function planted(step: string, patience: number): Pick<Recipe, 'plant' | 'patience'> {
  if (step === 'record_residue') return { plant: 'residue', patience: 70 };
  if (step === 'record_resurrected') return { plant: 'risen', patience: 30 };
  return { patience };
}

function exchangeAsk(step: string): readonly Operation[] {
  return step === 'record_denial' ? ['denied'] : ['complete'];
}

function revokeAsk(step: string): readonly Operation[] {
  if (step === 'end_task') return ['revoke_task'];
  if (step === 'claim_again' || step === 'record_residue') return ['retry'];
  if (step === 'begin_stop' || step === 'end_stop') return ['revoke_selected'];
  if (/^(quarantine_agent|release_agent|fence_selected)$/.test(step)) return ['quarantine'];
  if (step === 'end_lease') return ['revoke_lease', 'hand_back', 'give_up'];
  return ['revoke_lease', 'revoke_task', 'hand_back', 'quarantine', 'revoke_selected'];
}

function beforeExchange(step: string): readonly string[] {
  if (step === 'record_late') return [LOST_MINT, 'exchange.guard_end.before@1+:fail'];
  return ENDING.test(step) ? [LOST_RECORD] : [];
}

/** Only a reconciliation that takes longer than four seconds has to keep its claim. */
function beforeReconcile(step: string): readonly string[] {
  if (step === 'keep_reconciliation') return ['reconcile.guard_list.before@1+:fail~4500'];
  return lateFirst('reconcile', step);
}

/** An attempt that fails is what is recorded as late. */
function lateFirst(useCase: string, step: string): readonly string[] {
  return step === 'record_late' ? [`${useCase}.guard_end.before@1+:fail`] : [];
}
