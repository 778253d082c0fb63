import pg from 'pg';
import type { SecretText } from '../../foundation/secret-text.ts';

/** A session that the agent opened with its credential, and that it keeps open. */
export type BorrowedSession = {
  query<Row extends object>(sql: string): Promise<readonly Row[]>;
  /** True once the server has cut it. */
  isCut(): boolean;
  close(): Promise<void>;
};

/** Logs in as an agent would. Rejects when the server refuses. */
export async function openSession(uri: SecretText): Promise<BorrowedSession> {
  const client = new pg.Client({ connectionString: uri.reveal() });
  let cut = false;
  client.on('error', () => (cut = true));
  client.on('end', () => (cut = true));
  await client.connect();
  return {
    query: async <Row extends object>(sql: string) => (await client.query<Row>(sql)).rows,
    isCut: () => cut,
    close: () => client.end().catch(() => undefined),
  };
}

/** Why the server refuses this login now; undefined when it lets the holder in. */
export async function loginRefusal(uri: SecretText): Promise<string | undefined> {
  try {
    const session = await openSession(uri);
    await session.close();
    return undefined;
  } catch (thrown) {
    if (thrown instanceof pg.DatabaseError) return thrown.message;
    throw thrown;
  }
}
