/** Rounds of each attack in \`npm test\`, and in \`npm run prove\` (MAYFLY_PROVE=1). */
const FEW = 2;
const MANY = 20;

export const ROUNDS = process.env['MAYFLY_PROVE'] === '1' ? MANY : FEW;
/** Milliseconds that are granted to all rounds of one attack. */
export const PATIENCE_MS = ROUNDS * 15_000 + 30_000;

/** Milliseconds that an attacker goes on after the answer, while we watch. */
export const WATCH_MS = 250;

/** Numbers 1 to `ROUNDS`, for loops. */
export const rounds = Array.from({ length: ROUNDS }, (_, index) => index + 1);
