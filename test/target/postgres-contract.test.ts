import type pg from 'pg';
import { systemClock } from '../../src/foundation/clock.ts';
import type { SecretText } from '../../src/foundation/secret-text.ts';
import { targetContract } from './contract.ts';
import {
  buildWorld,
  connectAs,
  creation,
  mint,
  newName,
  secret,
  startServer,
} from './support/target-world.ts';

targetContract(async () => {
  const server = await startServer(18);
  const world = await buildWorld(server);
  const elsewhere = await connectAs(server, 'postgres', server.superuser, 'postgres');
  await elsewhere.query('create table pinned (id integer)');
  const passwords = new Map<string, SecretText>();
  const sessions: pg.Client[] = [];
  return {
    access: world.access,
    newName,
    mint: async (name) => {
      const { password } = await mint(world, 'orders_read', name);
      passwords.set(name, password);
    },
    beginMint: async (name) => {
      passwords.set(name, secret());
      await world.openbao.query('begin');
      await world.openbao.query(await creation(name, passwords.get(name) ?? secret()));
      return {
        commit: async () => void (await world.openbao.query('commit')),
        rollBack: async () => void (await world.openbao.query('rollback')),
      };
    },
    logIn: async (name) => {
      try {
        sessions.push(await world.connect(name, passwords.get(name) ?? secret()));
        return true;
      } catch {
        return false;
      }
    },
    // A grant in another database of the cluster, which the guard cannot take back.
    pin: async (name) => {
      await elsewhere.query(`grant select on pinned to "${name}"`);
      return async () => void (await elsewhere.query(`revoke select on pinned from "${name}"`));
    },
    sleep: (ms) => systemClock.sleep(ms),
    close: async () => {
      await Promise.all(sessions.map((session) => session.end().catch(() => undefined)));
      await elsewhere.end();
      await world.close();
      await server.stop();
    },
  };
});
