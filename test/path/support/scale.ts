/**
 * How much of a long proof is run: all of it under `npm run prove`, a tenth under `npm test`, with
 * the same code. At least one.
 */
export const PROVE = process.env['MAYFLY_PROVE'] === '1';

export function scaled(rounds: number): number {
  return PROVE ? rounds : Math.max(1, Math.round(rounds / 10));
}
