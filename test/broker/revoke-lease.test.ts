import { expect, test } from '@jest/globals';
import type { BrokerParts } from '../../src/broker/parts.ts';
import { answerLost, revokeCredential, revokeLease } from '../../src/broker/revoke-lease.ts';
import { SecretText } from '../../src/foundation/secret-text.ts';
import type { AgentCaller, OperatorCaller } from '../../src/identity/principal.ts';
import { LedgerUnreachable } from '../../src/ledger/ledger.ts';
import type { Lease } from '../../src/ledger/lease.ts';
import { modelParts } from './support/model-parts.ts';

const olivia = {
  name: 'olivia',
  permissions: new Set(['leases.revoke']),
} as unknown as OperatorCaller;

async function endings({ metrics }: BrokerParts): Promise<readonly string[]> {
  const { body } = await metrics.render();
  return body.split('\n').filter((line) => line.startsWith('mayfly_lease_endings_total{'));
}

/** Whatever credential is handed back is this lease's. */
function handBack(parts: BrokerParts, lease: Lease) {
  const ledger = { ...parts.ledger, leaseByCredential: () => Promise.resolve(lease) };
  const caller = { agent: { id: lease.agentId } } as AgentCaller;
  return revokeCredential({ ...parts, ledger }, caller, new SecretText('postgres://...'));
}

test('a lease that is ended again and again is counted once, with the first cause', async () => {
  const { parts, lease } = modelParts();
  const revoke = (id: string) => revokeLease(parts, olivia, id, 'leaked', 0);
  const [one, two, three] = [await lease('orders'), await lease('orders'), await lease('orders')];
  for (let n = 0; n < 3; n++) expect((await revoke(one.id)).ok).toBe(true);
  for (let n = 0; n < 3; n++) await handBack(parts, two);
  for (let n = 0; n < 2; n++) await answerLost(parts, three.id);
  await revoke(two.id);
  expect(await endings(parts)).toEqual([
    'mayfly_lease_endings_total{cause="operator"} 1',
    'mayfly_lease_endings_total{cause="revoked_by_holder"} 1',
    'mayfly_lease_endings_total{cause="answer_lost"} 1',
  ]);
});

test('what the ledger is told behind an answer is counted too', async () => {
  const { parts, lease, now, behind } = modelParts();
  const made = await lease('orders');
  let heard = false;
  const deaf: BrokerParts = {
    ...parts,
    ledger: {
      ...parts.ledger,
      endLease: (end) => {
        if (heard) return parts.ledger.endLease(end);
        heard = true;
        return Promise.reject(new LedgerUnreachable('it is away'));
      },
    },
  };
  expect((await revokeLease(deaf, olivia, made.id, 'leaked', 0)).ok).toBe(false);
  await behind();
  expect(now(made)?.state).toBe('settled');
  expect(await endings(parts)).toEqual(['mayfly_lease_endings_total{cause="operator"} 1']);
});
