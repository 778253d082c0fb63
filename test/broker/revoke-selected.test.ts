import { describe, expect, test } from '@jest/globals';
import { STOPS_AT_A_TIME } from '../../src/broker/margins.ts';
import { revokeSelected } from '../../src/broker/revoke-selected.ts';
import { SELECTS_NOTHING } from '../../src/ledger/stop.ts';
import { ids } from '../ledger/support/examples.ts';
import { modelParts } from './support/model-parts.ts';

describe('a revocation beside as many others as there may be', () => {
  test('says that, and that it ended nothing', async () => {
    const { parts, lease, now } = modelParts();
    const live = await lease('orders');
    const selector = { ...SELECTS_NOTHING, agentId: live.agentId };
    const nobody = { ...SELECTS_NOTHING, agentId: 'nobody' };
    for (let count = 0; count < STOPS_AT_A_TIME; count += 1) {
      const stop = { id: ids.uuid(), selector: nobody, reason: 'x', by: 'olivia' };
      expect(await parts.ledger.beginStop(stop, STOPS_AT_A_TIME)).toBe(true);
    }
    const permissions = new Set(['leases.revoke'] as const);
    const caller = { kind: 'operator', name: 'olivia', permissions } as never;
    const asked = { selector, reason: 'a drill', dryRun: false };
    expect(await revokeSelected(parts, caller, asked, 0)).toMatchObject({
      ok: false,
      failure: {
        reason: 'revocation_under_way',
        detail: expect.stringMatching(/nothing was ended: 20 other revocations are under way/),
        retryAfterSeconds: 1,
      },
    });
    expect(now(live)?.state).toBe('active');
  });
});
