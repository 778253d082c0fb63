import type { Random } from './random.ts';

/** How rough one run is; drawn from its seed, so that calm and stormy ones are both tried. */
export type Profile = {
  readonly replicas: number;
  /** Milliseconds of virtual time between two exchanges, in the mean. */
  readonly pauseMs: number;
  /** Milliseconds between two faults, in the mean; Infinity: none. */
  readonly faultPauseMs: number;
  readonly faults: readonly FaultKind[];
  /** Shares of mints that end so. */
  readonly noLease: number;
  readonly lateError: number;
  readonly sealedWord: number;
  readonly slowMint: number;
  /** Share of holders that do what they can to stay. */
  readonly hostile: number;
  /** Share of answers of exchanges that do not reach their caller. */
  readonly lostAnswers: number;
};

export const FAULT_KINDS = [
  'crash',
  'pause',
  'ledger_down',
  'ledger_frozen',
  'ledger_cut',
  'ledger_lossy',
  'ledger_slow',
  'backend_down',
  'backend_frozen',
  'backend_cut',
  'backend_lossy',
  'backend_slow',
  'backend_sealed',
  'target_down',
  'target_frozen',
  'target_cut',
  'target_lossy',
  'target_slow',
  'ledger_clock',
  'target_clock',
  'broker_clock',
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

export function drawProfile(random: Random): Profile {
  const often = (share: number) => (random.chance(0.5) ? 0 : random.between(0, share));
  const kinds = random.chance(0.4)
    ? [...FAULT_KINDS]
    : FAULT_KINDS.filter(() => random.chance(0.35));
  const faults = kinds.length > 0 ? kinds : ['crash' as const];
  return {
    replicas: random.whole(1, 4),
    pauseMs: random.pick([60, 120, 250, 500]),
    faultPauseMs: random.pick([Infinity, 15_000, 6_000, 2_500]),
    faults,
    noLease: often(0.15),
    lateError: often(0.15),
    sealedWord: often(0.1),
    slowMint: often(0.06),
    hostile: often(0.4),
    lostAnswers: often(0.2),
  };
}
