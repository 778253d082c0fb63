import type { BackendPlan, PlannedAction } from '../mint/provision/plan-backend.ts';
import type { Change } from '../target/postgres/installation-plan.ts';

/** What became of one thing that `mayfly backend apply` sees to. */
export type Provisioned = {
  /** The place: `ledger`, `openbao`, or `target <name>`. */
  readonly where: string;
  readonly what: string;
  /** `refused`, in a plan only: it is there and belongs to somebody else; apply stops before it. */
  readonly state: 'created' | 'changed' | 'unchanged' | 'refused';
  /** Which fields differ, in words; empty where nothing does. */
  readonly detail?: string;
};

export function targetSteps(target: string, changes: readonly Change[]): readonly Provisioned[] {
  return changes.map(({ what, state }) => ({ where: `target ${target}`, what, state }));
}

const STATES = {
  create: 'created',
  change: 'changed',
  unchanged: 'unchanged',
  refused: 'refused',
} as const satisfies Record<PlannedAction, Provisioned['state']>;

export function provisionedSteps(plan: BackendPlan): readonly Provisioned[] {
  return plan.steps.map(({ piece, action, drift }) => ({
    where: 'openbao',
    what: piece.path,
    state: STATES[action],
    ...(drift.length > 0
      ? { detail: drift.map(({ field, seen }) => `${field} is ${seen}`).join(', ') }
      : {}),
  }));
}
