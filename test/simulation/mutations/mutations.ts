/** A fault planted in the built program (or in a model, where the real thing is SQL). */
export type Mutation = {
  readonly name: string;
  /** What the simulation must say is broken: any one of these. */
  readonly breaks: readonly string[];
  readonly changes: readonly {
    /** Below the assembled folder: `src/...` is the built program. */
    readonly file: string;
    /** Must occur exactly once. */
    readonly find: string;
    readonly put: string;
  }[];
  /** Caught within a second or so: tried by every run of the tests. */
  readonly quick?: true;
};

/** Decides by what was read before the transaction, and not by what was read under its lock. */
function readOutside(stale: string): Mutation['changes'] {
  const file = 'src/broker/open-lease.js';
  const begin = 'let openedAtMs = 0;';
  const read = 'await parts.ledger.readForExchange(agent.id, asked.ask.task.identifier)';
  const decide = 'const decided = decideExchange(asked, facts);';
  return [
    { file, find: begin, put: `${begin}\n    const stale = ${read};` },
    { file, find: decide, put: `const decided = decideExchange(asked, { ...facts, ${stale} });` },
  ];
}

/** Each of these was seen to be caught; a change of the program that moves one must move it here. */
export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'commit after the mint only',
    quick: true,
    breaks: ['I1'],
    changes: [
      {
        file: 'src/broker/open-lease.js',
        find: 'token = tokenInTime(parts, promise.place, name, decided.value.plan.ttlSeconds);',
        put: `token = tokenInTime(parts, promise.place, name, decided.value.plan.ttlSeconds).then(async (made) => {
            if (made.ok) await parts.minter.credential(promise.place, made.value);
            return made;
        });`,
      },
    ],
  },
  {
    name: 'end at the target before the fence',
    quick: true,
    breaks: ['fence'],
    changes: [
      {
        file: 'src/broker/complete-task.js',
        find: 'function endNowOrLater(parts, end) {',
        put: `async function endNowOrLater(parts, end) {
    const { items } = await parts.ledger.leases({ taskId: end.taskId, states: ['active'] }, 100, null);
    for (const lease of items) await parts.targets.access(lease.snapshot.target)?.guard.end([lease.credentialName]);`,
      },
    ],
  },
  {
    name: 'settle with the backend before the fence',
    breaks: ['fence'],
    changes: [
      {
        file: 'src/broker/revoke-lease.js',
        find: 'async function fence(parts, leaseId, cause, reason, by) {',
        put: `async function fence(parts, leaseId, cause, reason, by) {
    const before = await parts.ledger.lease(leaseId);
    if (before?.backendLeaseId) await parts.reaper.revoke(before.backendLeaseId);`,
      },
    ],
  },
  {
    name: 'a mint without a deadline',
    breaks: ['stuck', 'rest'],
    changes: [
      {
        file: 'src/broker/margins.js',
        find: 'export const MINT_DEADLINE_SECONDS = 10;',
        put: 'export const MINT_DEADLINE_SECONDS = 10_000;',
      },
    ],
  },
  {
    name: 'a claim without a deadline',
    breaks: ['stuck', 'rest'],
    changes: [
      {
        file: 'test/simulation/models/ledger-fencing.js',
        find: 'claimUntil: later(now, replica.claimSeconds * 1000)',
        put: 'claimUntil: later(now, 1e12)',
      },
    ],
  },
  {
    name: 'the caps read outside of the transaction',
    breaks: ['caps'],
    changes: [...readOutside('openLeases: stale.openLeases')],
  },
  {
    name: 'a quarantine read outside of the transaction',
    breaks: ['I7'],
    changes: [
      ...readOutside('quarantined: stale.quarantined'),
      {
        file: 'test/simulation/models/ledger-opening.js',
        find: 'if (facts.quarantined) return fail(AGENT_QUARANTINED);',
        put: '',
      },
    ],
  },
  {
    name: 'a quarantine that fences nothing',
    breaks: ['I7'],
    changes: [
      {
        file: 'src/broker/end-selected.js',
        find: 'const own = await fence(parts, ending, true);',
        put: 'const own = []; return { fenced: 0, dead: 0, dying: 0 };',
      },
    ],
  },
  {
    name: 'a retry that leaves what it replaces alive',
    breaks: ['key'],
    changes: [
      {
        file: 'test/simulation/models/ledger-opening.js',
        find: "return state === 'minting' || state === 'active';",
        put: 'return false;',
      },
    ],
  },
  {
    name: 'give up after six tries',
    breaks: ['stuck', 'rest'],
    changes: [
      {
        file: 'src/broker/backoff.js',
        find: 'const full =',
        put: 'if (attempts >= 6) return 1e12;\n    const full =',
      },
    ],
  },
  {
    name: 'a proof without a positive control',
    quick: true,
    breaks: ['I3'],
    changes: [
      {
        file: 'src/target/verdict.js',
        find: 'const lowered = oid === null ? withoutControl(findings) : loweredBy(ending, look);',
        put: 'const lowered = loweredBy(ending, look);',
      },
    ],
  },
  {
    name: 'a proof without a look',
    breaks: ['I3'],
    changes: [
      {
        file: 'src/target/verdict.js',
        find: "return 'prover_unreachable';",
        put: 'return null;',
      },
    ],
  },
  {
    name: 'an unknown mint taken for none',
    quick: true,
    breaks: ['I3', 'rest'],
    changes: [
      {
        file: 'src/mint/mint-outcome.js',
        find: "return { kind: 'unknown', failure: isSealed(error) ? backendFailure(error) : inDoubt() };",
        put: "return { kind: 'refused', failure: inDoubt() };",
      },
    ],
  },
  {
    name: 'a late mint that nobody ends',
    breaks: ['I1', 'I3'],
    changes: [
      {
        file: 'src/broker/mint-credential.js',
        find: "if (lease.state !== 'active')\n        return endFenced(parts, lease);",
        put: '',
      },
    ],
  },
  {
    name: 'granted although its record was not committed',
    // What could not be recorded is ended behind the answer, although its lease may stand as active.
    breaks: ['I1', 'fence'],
    changes: [
      {
        file: 'src/broker/mint-credential.js',
        find: 'const lease = await recordMinted(parts, opened, outcome, credential);',
        put: "const lease = await recordMinted(parts, opened, outcome, credential).catch(() => ({ ...opened.lease, state: 'active' }));",
      },
    ],
  },
  {
    name: 'names past their deadline are not looked for',
    breaks: ['I4'],
    changes: [
      {
        file: 'src/broker/end-overdue-names.js',
        find: 'if (listed.length === 0)',
        put: 'if (listed.length >= 0)',
      },
    ],
  },
  {
    name: 'two denials for one refusal',
    breaks: ['I8'],
    changes: [
      {
        file: 'src/broker/exchange.js',
        find: 'const id = parts.ids.uuid();',
        put: 'await parts.ledger.recordDenial(denialEvent(parts.ids.uuid(), progress.caller, refusal, progress));\n    const id = parts.ids.uuid();',
      },
    ],
  },
];
