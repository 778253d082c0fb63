import { relative } from 'node:path';

/** Files of more than some 14 seconds, the longest first. */
const LONGEST = [
  'path/races',
  'path/outages',
  'embedded/lifetime',
  'path/target-faults',
  'commands/serve',
  'path/quarantine',
  'path/backend-faults',
  'path/storm',
  'commands/demo',
  'path/failure-modes',
  'commands/backend',
  'path/restored-ledger',
  'path/ledger-faults',
  'mint/mint',
  'http/rest',
  'chaos/chaos',
  'path/reconcile',
  'embedded/postgres',
  'commands/program',
  'simulation/simulation',
  'path/bad-input',
  'ledger/races',
  'http/exchange-form',
  'path/canary',
  'ledger/outage',
  'ledger/postgres-contract',
  'target/session-attacks',
  'target/mint-races',
  'path/many',
  'target/install',
  'catalogue/check',
  'path/main-job',
];

/**
 * Begins with what takes long. Left to itself, jest goes by the size of files where it has not seen
 * them run, and ends with one worker on a long file while the others have nothing left.
 */
export default class LongestFirst {
  sort(tests) {
    return [...tests].sort((a, b) => rankOf(a.path) - rankOf(b.path));
  }

  allFailedTests(tests) {
    return tests;
  }

  cacheResults() {
    // The list above says what there is to know.
  }
}

function rankOf(path) {
  const rank = LONGEST.indexOf(relative(import.meta.dirname, path).replace(/\.test\.ts$/, ''));
  return rank === -1 ? LONGEST.length : rank;
}
