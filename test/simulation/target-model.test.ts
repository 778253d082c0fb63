import { systemClock } from '../../src/foundation/clock.ts';
import { systemIds } from '../../src/foundation/ids.ts';
import { encodeName } from '../../src/target/credential-name.ts';
import { targetContract } from '../target/contract.ts';
import { carryNow, modelAccess } from './models/target-access.ts';
import { ModelTarget } from './models/target-model.ts';

const INSTALLATION = 'm0de';

targetContract(() => {
  const ids = systemIds(systemClock);
  const now = () => systemClock.now().getTime();
  const target = new ModelTarget('1/orders', INSTALLATION, now);
  const made = (name: string) => {
    target.beginMake(name);
    target.commitMake(name);
  };
  return Promise.resolve({
    access: modelAccess(target, INSTALLATION, 4, carryNow),
    newName: (seconds: number) => {
      const deadline = new Date(now() + seconds * 1000);
      return encodeName({ installation: INSTALLATION, leaseId: ids.uuid(), deadline });
    },
    mint: (name: string) => new Promise<void>((resolve) => resolve(made(name))),
    beginMint: (name: string) => {
      target.beginMake(name);
      return Promise.resolve({
        commit: () => Promise.resolve(void target.commitMake(name)),
        rollBack: () => Promise.resolve(target.rollBackMake(name)),
      });
    },
    logIn: (name: string) => Promise.resolve(target.login(name)),
    pin: (name: string) => {
      const role = target.roles.get(name);
      if (role) role.pinned = true;
      return Promise.resolve(() => {
        if (role) role.pinned = false;
        return Promise.resolve();
      });
    },
    sleep: (ms: number) => systemClock.sleep(ms),
    close: () => Promise.resolve(),
  });
});
