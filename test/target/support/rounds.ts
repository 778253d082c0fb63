import { PROVE } from '../../path/support/scale.ts';

/** Rounds of each attack in `npm test`, and in `npm run prove`. */
const FEW = 2;
const MANY = 20;

const ROUNDS = PROVE ? MANY : FEW;
/** Milliseconds that are granted to all rounds of one attack. */
export const PATIENCE_MS = ROUNDS * 15_000 + 30_000;

/** Milliseconds that an attacker goes on after the answer, while we watch. */
export const WATCH_MS = 250;

/** Runs a round so many times, one after another, numbered from 1. */
export async function eachRound(run: (round: number) => Promise<void>): Promise<void> {
  for (let round = 1; round <= ROUNDS; round++) await run(round);
}
