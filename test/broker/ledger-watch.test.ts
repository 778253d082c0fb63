import { describe, expect, test } from '@jest/globals';
import { openLedgerWatch } from '../../src/broker/ledger-watch.ts';
import { observedReadiness } from '../../src/broker/observe.ts';
import { createLog } from '../../src/foundation/log.ts';
import { failure } from '../../src/foundation/failure.ts';
import type { Failure } from '../../src/foundation/failure.ts';
import { fail, succeed } from '../../src/foundation/result.ts';
import type { KeptMark, MarkStore } from '../../src/mint/ledger-mark.ts';
import { modelParts } from './support/model-parts.ts';

/** A place for the mark, and what it says to the next reads and writes. */
class Place implements MarkStore {
  kept: KeptMark | 'none' = 'none';
  closed = false;
  refusal: Failure | null = null;
  lost = false;

  read: MarkStore['read'] = () => Promise.resolve(succeed(this.closed ? 'closed' : this.kept));

  write: MarkStore['write'] = (mark, version) => {
    if (this.refusal !== null) return Promise.resolve(fail(this.refusal));
    if (this.lost) return Promise.resolve(succeed('lost'));
    this.kept = { ...mark, version: version + 1 };
    return Promise.resolve(succeed('written'));
  };
}

function watched() {
  const { parts } = modelParts();
  const lines: string[] = [];
  const log = createLog('info', { write: (line: string) => void lines.push(line) });
  const place = new Place();
  const watch = openLedgerWatch({ ...parts, log }, place, false);
  return { place, watch, lines, ledger: parts.ledger };
}

const REFUSED = failure('backend_unreachable', 'the secret backend refused (status 403)');
const DISK = failure('backend_unreachable', 'the secret backend failed (status 500)');

describe('a mark that does not rise', () => {
  test('is told of once for each reason, and when it rises again', async () => {
    const { place, watch, lines, ledger } = watched();
    await watch.check();
    expect(lines).toEqual([]);
    expect(watch.markProblem()).toBeNull();
    const { epoch } = await ledger.epoch();

    place.refusal = REFUSED;
    for (let look = 0; look < 3; look++) await watch.check();
    // The ledger has gone on without it, and what it is for is lost meanwhile.
    expect((await ledger.epoch()).epoch).toBe(epoch + 3);
    expect(place.kept).toMatchObject({ epoch });
    expect(watch.markProblem()).toBe(REFUSED.detail);
    expect(watch.observing()).toBeNull();
    place.refusal = DISK;
    await watch.check();
    place.refusal = null;
    place.closed = true;
    for (let look = 0; look < 2; look++) await watch.check();
    place.closed = false;
    for (let look = 0; look < 2; look++) await watch.check();
    expect(watch.markProblem()).toBeNull();
    expect(lines).toEqual([
      expect.stringMatching(/403.*does not rise/),
      expect.stringMatching(/500.*does not rise/),
      expect.stringMatching(/keeps no mark.*does not rise/),
      expect.stringContaining('rises again'),
    ]);
  });

  test('is no trouble where somebody else has written it', async () => {
    const { place, watch, lines } = watched();
    place.lost = true;
    await watch.check();
    expect(watch.markProblem()).toBeNull();
    expect(lines).toEqual([]);
  });

  test('is shown by readiness, and refuses nothing', async () => {
    const { place, watch } = watched();
    const seen = { ready: true, ledger: { ok: true, detail: 'reachable' } } as never;
    await watch.check();
    expect(observedReadiness(seen, watch)).toEqual(seen);
    place.refusal = REFUSED;
    await watch.check();
    expect(observedReadiness(seen, watch)).toMatchObject({
      ready: true,
      ledger: { ok: true, detail: expect.stringMatching(/^reachable; .*does not rise: .*403/) },
    });
    expect(await watch.obstacle()).toBeNull();
  });
});
