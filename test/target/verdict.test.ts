import { describe, expect, test } from '@jest/globals';
import { judge } from '../../src/target/verdict.ts';
import type { Findings } from '../../src/target/verdict.ts';

const NAME = 'mk7q2-01j0b3v1mmeedtx9cpdgkfhbch-6b02e290';
const SERVER = '7711047887490501922/orders';
const AT = new Date('2026-11-22T12:00:00.000Z');

const ending: Findings['ending'] = {
  name: NAME,
  closing: 'alive',
  oid: 4711,
  ended: true,
  residue: null,
  reason: null,
  targetNow: AT,
  server: SERVER,
};
const look: NonNullable<Findings['look']> = {
  name: NAME,
  roleExists: false,
  canLogin: false,
  sessions: 0,
  server: SERVER,
  at: AT,
};
const findings: Findings = {
  ending,
  look,
  declared: 'proven',
  seenOid: null,
  minted: true,
  backendSaid: null,
};

describe('the verdict', () => {
  test('is proven where the role was seen, ended, and looked for at the same server', () => {
    expect(judge(findings)).toEqual({
      dead: true,
      revocability: 'proven',
      lowered: null,
      residue: null,
      oid: 4711,
      evidence: {
        kind: 'seen_dead',
        name: NAME,
        oid: 4711,
        guard: {
          server: SERVER,
          at: '2026-11-22T12:00:00.000Z',
          closing: 'alive',
          ended: true,
          residue: null,
        },
        prover: {
          server: SERVER,
          at: '2026-11-22T12:00:00.000Z',
          role_exists: false,
          can_login: false,
          sessions: 0,
        },
        lowered: null,
      },
    });
  });

  test('the evidence is JSON', () => {
    const verdict = judge(findings);
    if (!verdict.dead) throw new Error('alive');
    expect(JSON.parse(JSON.stringify(verdict.evidence))).toEqual(verdict.evidence);
  });

  test('what the scope declares is never raised', () => {
    expect(judge({ ...findings, declared: 'revocable' })).toMatchObject({
      dead: true,
      revocability: 'revocable',
      lowered: null,
    });
  });

  test.each([
    ['the guard could not end it', { ending: { ...ending, ended: false, reason: 'lock timeout' } }],
    ['a session remains', { look: { ...look, sessions: 1 } }],
    ['a live role remains', { look: { ...look, roleExists: true, canLogin: true } }],
    [
      'a live role remains elsewhere',
      { look: { ...look, canLogin: true, server: 'other/orders' } },
    ],
    ['the prover was asked about another', { look: { ...look, name: 'other' } }],
    ['the guard never saw what was made', { ending: { ...ending, closing: 'nothing', oid: null } }],
  ] as const)('not dead: %s', (_what, changes) => {
    expect(judge({ ...findings, ...changes })).toMatchObject({
      dead: false,
      reason: expect.any(String) as unknown,
    });
  });

  test.each([
    ['prover_unreachable', { look: undefined }],
    ['prover_wrong_server', { look: { ...look, server: '42/orders' } }],
    ['prover_wrong_server', { look: { ...look, server: '7711047887490501922/standby/orders' } }],
    [
      'no_positive_control',
      { ending: { ...ending, closing: 'nothing', oid: null }, backendSaid: 'revoked' },
    ],
    [
      'no_positive_control',
      { ending: { ...ending, closing: 'nothing', oid: null }, minted: false },
    ],
  ] as const)('lowered to revocable: %s', (lowered, changes) => {
    const verdict = judge({ ...findings, ...changes });
    expect(verdict).toMatchObject({ dead: true, revocability: 'revocable', lowered });
  });

  test('an oid that an earlier call saw is a positive control', () => {
    const repeated = { ...ending, closing: 'nothing', oid: null } as const;
    expect(judge({ ...findings, ending: repeated, seenOid: 4711 })).toMatchObject({
      dead: true,
      revocability: 'proven',
      oid: 4711,
    });
  });

  test('nothing was ever made: said so', () => {
    const nothing = { ...ending, closing: 'nothing', oid: null } as const;
    expect(judge({ ...findings, ending: nothing, minted: false })).toMatchObject({
      dead: true,
      evidence: { kind: 'never_existed', oid: null },
    });
  });

  test('the backend made it and ended it, and the guard never saw it: said so', () => {
    const nothing = { ...ending, closing: 'nothing', oid: null } as const;
    expect(judge({ ...findings, ending: nothing, backendSaid: 'revoked' })).toMatchObject({
      dead: true,
      revocability: 'revocable',
      evidence: { kind: 'backend_revoked', oid: null, lowered: 'no_positive_control' },
    });
  });

  test('the backend made it and does not know it any more: nobody saw it end', () => {
    const nothing = { ...ending, closing: 'nothing', oid: null } as const;
    const lost = { ...findings, backendSaid: 'unknown' } as const;
    expect(judge({ ...lost, ending: nothing })).toMatchObject({
      dead: true,
      revocability: 'expiry',
      evidence: { kind: 'backend_lost', oid: null, lowered: 'nobody_saw_it_end' },
    });
    expect(judge({ ...lost, ending: nothing, seenOid: 4711 })).toMatchObject({
      revocability: 'proven',
      evidence: { kind: 'seen_dead' },
    });
  });

  test('a role without login is residue', () => {
    expect(judge({ ...findings, ending: { ...ending, residue: 'owner of x' } })).toMatchObject({
      dead: true,
      residue: 'owner of x',
    });
    expect(judge({ ...findings, look: { ...look, roleExists: true } })).toMatchObject({
      dead: true,
      residue: 'a role without login is still there',
    });
  });
});
