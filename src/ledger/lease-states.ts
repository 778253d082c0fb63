/**
 * The life of a lease, as data. Nothing goes backwards, and nothing else moves a lease.
 *
 *   minting ──> active ──> revoking ──> revoked ──> settled
 *      │                      ▲        (dead at     (the backend holds
 *      ├──> abandoned         │         the target)  nothing of it either)
 *      └──────────────────────┘
 */
export const LEASE_STATES = [
  'minting',
  'active',
  'revoking',
  'revoked',
  'settled',
  'abandoned',
] as const;
export type LeaseState = (typeof LEASE_STATES)[number];
/** States that no lease leaves: there are ever more of these. */
export type ClosedState = Extract<LeaseState, 'settled' | 'abandoned'>;
export type OpenState = Exclude<LeaseState, ClosedState>;

export const TRANSITIONS = {
  /** The mint answered and nobody fenced the lease meanwhile. */
  activate: { from: ['minting'], to: 'active' },
  /** The mint was never sent, or OpenBao itself refused it: nothing was made. */
  abandon: { from: ['minting'], to: 'abandoned' },
  /** Done, ended, or we cannot tell what was made: from here on only its death is sought. */
  fence: { from: ['minting', 'active'], to: 'revoking' },
  /** Seen dead at the target (or, without a guard, on the backend's word). */
  revoke: { from: ['revoking'], to: 'revoked' },
  /** The backend holds nothing of it any more. */
  settle: { from: ['revoked'], to: 'settled' },
} as const satisfies Record<string, { from: readonly LeaseState[]; to: LeaseState }>;
export type Transition = keyof typeof TRANSITIONS;

/** States in which a credential may live; what lists show unless asked otherwise. */
export const LIVE_STATES = [
  'minting',
  'active',
  'revoking',
] as const satisfies readonly LeaseState[];

/** The state after `transition`, or undefined where it does not lead on from `state`. */
export function next(state: LeaseState, transition: Transition): LeaseState | undefined {
  const { from, to } = TRANSITIONS[transition];
  return (from as readonly LeaseState[]).includes(state) ? to : undefined;
}
