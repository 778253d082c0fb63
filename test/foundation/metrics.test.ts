import { describe, expect, test } from '@jest/globals';
import { createMetrics } from '../../src/foundation/metrics.ts';

describe('metrics', () => {
  test('count what happened', async () => {
    const metrics = createMetrics();
    metrics.exchanged('granted', 0.012);
    metrics.exchanged('policy_denied', 0.001);
    metrics.refusedBeforeAgent('unmapped_identity');
    metrics.minted('minted', 'orders-db', 0.008);
    metrics.ended('deadline');
    metrics.died({
      cause: 'deadline',
      revocability: 'proven',
      afterFence: 0.02,
      afterDeadline: 0.4,
    });
    metrics.died({
      cause: 'completed',
      revocability: 'proven',
      afterFence: 0.01,
      afterDeadline: -99,
    });
    metrics.settled(2);
    metrics.late('orders-db', 'end', 'still_alive');
    metrics.endedByName('orders-db', 3);
    metrics.resurrected();
    metrics.swept('ok', 0.01);
    metrics.catalogueReloaded('failed');
    metrics.selfChecked('failed');
    metrics.quarantineChecked(1_795_000_000);
    metrics.clockSkew('target', 'orders-db', -0.25);
    metrics.answered('/exchange', 200, 0.012);
    const { body, contentType } = await metrics.render();
    expect(contentType).toMatch(/^text\/plain/);
    for (const line of [
      'mayfly_exchanges_total{outcome="granted"} 1',
      'mayfly_exchanges_total{outcome="policy_denied"} 1',
      'mayfly_refused_before_agent_total{reason="unmapped_identity"} 1',
      'mayfly_mints_total{outcome="minted",target="orders-db"} 1',
      'mayfly_lease_endings_total{cause="deadline"} 1',
      'mayfly_lease_deaths_total{cause="completed",revocability="proven"} 1',
      'mayfly_fence_to_death_seconds_count 2',
      'mayfly_leases_settled_total 2',
      'mayfly_late_attempts_total{target="orders-db",work="end",reason="still_alive"} 1',
      'mayfly_ended_by_name_total{target="orders-db"} 3',
      'mayfly_resurrected_total 1',
      'mayfly_sweep_passes_total{outcome="ok"} 1',
      'mayfly_catalogue_reloads_total{outcome="failed"} 1',
      'mayfly_quarantine_selfcheck_total{outcome="failed"} 1',
      'mayfly_quarantine_selfcheck_last_success_timestamp_seconds 1795000000',
      'mayfly_clock_skew_seconds{part="target",name="orders-db"} -0.25',
    ]) {
      expect(body.split('\n')).toContain(line);
    }
  });

  test('only those that died after their deadline count as late', async () => {
    const metrics = createMetrics();
    metrics.died({
      cause: 'completed',
      revocability: 'proven',
      afterFence: 0.01,
      afterDeadline: -5,
    });
    metrics.died({
      cause: 'deadline',
      revocability: 'proven',
      afterFence: 0.01,
      afterDeadline: 0.4,
    });
    const { body } = await metrics.render();
    expect(body).toContain('mayfly_death_after_deadline_seconds_count 1');
    expect(body).toContain('mayfly_death_after_deadline_seconds_bucket{le="0.25"} 0');
    expect(body).toContain('mayfly_death_after_deadline_seconds_bucket{le="0.5"} 1');
  });

  test('of two brokers in one process do not mix', async () => {
    const [one, other] = [createMetrics(), createMetrics()];
    one.resurrected();
    expect((await other.render()).body).toContain('mayfly_resurrected_total 0');
  });
});
