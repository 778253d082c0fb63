import { pino } from 'pino';
import { systemClock } from '../../src/foundation/clock.ts';
import { systemIds } from '../../src/foundation/ids.ts';
import { SecretText } from '../../src/foundation/secret-text.ts';
import { openMinter } from '../../src/mint/minter.ts';
import { openReaper } from '../../src/mint/reaper.ts';
import { encodeName } from '../../src/target/credential-name.ts';
import { backendContract } from '../mint/contract.ts';
import { ModelBackend } from './models/backend-model.ts';
import type { MintFate } from './models/backend-model.ts';
import { modelPort } from './models/backend-port.ts';
import { ModelTarget } from './models/target-model.ts';

const INSTALLATION = 'm0de';
const PLACE = {
  mount: 'agents-db',
  config: 'orders',
  role: 'orders-read',
  tokenRole: 'mayfly-orders-read',
};
const SWIFT: MintFate = {
  queueMs: 0,
  makingMs: 0,
  storingMs: 0,
  commitsWhenKilled: false,
  end: 'answered',
};

backendContract(() => {
  const ids = systemIds(systemClock);
  const nowMs = () => systemClock.now().getTime();
  const target = new ModelTarget('1/orders', INSTALLATION, nowMs);
  const held = new Set<string>();
  const revoke = target.revoke.bind(target);
  target.revoke = (name) => {
    if (held.has(name)) throw new Error('objects depend on it');
    revoke(name);
  };
  // What a lease waits for is not waited for by the tests.
  const after = (ms: number, run: () => void) => void setTimeout(run, ms).unref();
  const backend = new ModelBackend({
    pace: { nowMs, after },
    roles: [
      { ...PLACE, maxTtlMs: 360_000, link: { target, reach: (heard: () => void) => heard() } },
    ],
    fate: () => SWIFT,
    secret: () => ids.password(),
  });
  const port = modelPort(backend, (_what, _detail, _bounds, work) => new Promise(work));
  const token = new SecretText('session');
  const session = {
    start: () => Promise.resolve(),
    stop: () => Promise.resolve(),
    call: (work: (held: SecretText) => ReturnType<typeof port.read>) => work(token),
    isLoggedIn: () => true,
  };
  const parts = { port, session, log: pino({ level: 'silent' }), clock: systemClock };
  return {
    minter: openMinter(parts),
    reaper: openReaper(parts),
    place: PLACE,
    newName: () => {
      const deadline = new Date(nowMs() + 300_000);
      return encodeName({ installation: INSTALLATION, leaseId: ids.uuid(), deadline });
    },
    userExists: (name) => Promise.resolve(target.roles.has(name)),
    holdUser: (name) => {
      held.add(name);
      return Promise.resolve(() => Promise.resolve(void held.delete(name)));
    },
    sleep: (ms) => systemClock.sleep(ms),
  };
});
