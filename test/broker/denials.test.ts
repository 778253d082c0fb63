import { describe, expect, test } from '@jest/globals';
import { createBacklog } from '../../src/broker/backlog.ts';
import { createDenials } from '../../src/broker/denials.ts';
import { exchange } from '../../src/broker/exchange.ts';
import { DENIALS_PER_MINUTE } from '../../src/broker/margins.ts';
import type { BrokerParts } from '../../src/broker/parts.ts';
import type { Log } from '../../src/foundation/log.ts';
import { succeed } from '../../src/foundation/result.ts';
import { AGENTS } from '../simulation/catalogue.ts';
import { modelParts } from './support/model-parts.ts';

const [CLERK, WRITER] = AGENTS;

/** Exchanges of which each is refused, since it declares no task. */
function refusing() {
  const world = modelParts();
  const lines: object[] = [];
  const log = { warn: (what: object) => lines.push(what) } as unknown as Log;
  let recorded = 0;
  const catalogue = world.parts.catalogue.current();
  const parts = {
    ...world.parts,
    policies: () => undefined,
    authenticator: {
      agent: ({ reveal }: { reveal: () => string }) => {
        const agent = catalogue.agents.get(reveal());
        return Promise.resolve(succeed({ agent, instance: 'one', token: {}, policyClaims: {} }));
      },
    },
    backlog: createBacklog(),
    denials: createDenials({ clock: world.parts.clock, log }),
    ledger: {
      ...world.parts.ledger,
      recordDenial: () => Promise.resolve(void recorded++),
    },
  } as unknown as BrokerParts;
  const ask = async (agent: string) => {
    const outcome = await exchange(parts, {
      ...{ subjectToken: { reveal: () => agent } as never, actorToken: null, scope: 'orders-read' },
      ...{ authorizationDetails: null, taskUrns: [], ttlSeconds: null, idempotencyKey: null },
    });
    return outcome.ok ? undefined : outcome.failure;
  };
  const ofMany = async (agent: string, count: number) =>
    new Set(
      (await Promise.all(Array.from({ length: count }, () => ask(agent)))).map(
        (refused) => refused?.reason,
      ),
    );
  return { ...{ world, parts, lines, ask, ofMany }, recorded: () => recorded };
}

describe('an agent that repeats what is refused', () => {
  test('is told to wait when it was refused so often within a minute, and nothing is recorded', async () => {
    const { world, parts, lines, ask, ofMany, recorded } = refusing();
    expect(await ofMany(CLERK, DENIALS_PER_MINUTE)).toEqual(new Set(['task_missing']));
    world.pass(10);
    expect(await ofMany(CLERK, 1_000)).toEqual(new Set(['limit_denials']));
    expect((await ask(CLERK))?.retryAfterSeconds).toBe(50);
    expect((await ask(CLERK))?.decisionId).toBeUndefined();
    expect(recorded()).toBe(DENIALS_PER_MINUTE);
    expect((await parts.metrics.render()).body).toContain(
      'mayfly_exchanges_total{outcome="limit_denials"} 1002',
    );
    expect(lines).toEqual([{ agent: CLERK, denials: DENIALS_PER_MINUTE }]);
    expect((await ask(WRITER))?.reason).toBe('task_missing');
  });

  test('is answered again as its refusals become a minute old, each for one', async () => {
    const { world, lines, ask, ofMany } = refusing();
    await ofMany(CLERK, 2);
    world.pass(30);
    await ofMany(CLERK, DENIALS_PER_MINUTE - 2);
    world.pass(29);
    expect(await ask(CLERK)).toMatchObject({ reason: 'limit_denials', retryAfterSeconds: 1 });
    world.pass(1);
    const reasons = [await ask(CLERK), await ask(CLERK), await ask(CLERK)];
    expect(reasons.map((refused) => refused?.reason)).toEqual([
      ...['task_missing', 'task_missing', 'limit_denials'],
    ]);
    // It came to its bound twice, but within one minute.
    expect(lines).toHaveLength(1);
    world.pass(60);
    await ofMany(CLERK, DENIALS_PER_MINUTE);
    expect(lines).toHaveLength(2);
  });
});
