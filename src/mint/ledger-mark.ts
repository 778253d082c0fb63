import { z } from 'zod';
import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import { backendFailure } from './backend-failure.ts';
import { MARK_RECORD, markMountOf } from './backend-names.ts';
import type { Session } from './session.ts';
import type { VaultPort } from './vault-port.ts';

/** What OpenBao remembers of the ledger: kept apart from it, so that a restore of one shows. */
export type LedgerMark = {
  readonly ledger: string;
  readonly cluster: string;
  readonly epoch: number;
};

export type KeptMark = LedgerMark & {
  /** For check-and-set. */
  readonly version: number;
};

export type MarkStore = {
  /** `none` before the first; `closed` where the place is not there or not ours to read. */
  read(): Promise<Result<KeptMark | 'none' | 'closed', Failure>>;
  /** Writes over this version (0: over none); `lost` where somebody else has written meanwhile. */
  write(mark: LedgerMark, version: number): Promise<Result<'written' | 'lost', Failure>>;
};

const MarkReply = z.object({
  data: z.object({
    data: z.object({ ledger: z.string(), cluster: z.string(), epoch: z.number().int() }),
    metadata: z.object({ version: z.number().int() }),
  }),
});

/** A record of a key-value mount (version 2) of our own, read and written by the reaper. */
export function openMarkStore(port: VaultPort, session: Session, installation: string): MarkStore {
  const path = `${markMountOf(installation)}/data/${MARK_RECORD}`;
  return {
    async read() {
      const result = await session.call((token) => port.read(path, { token }));
      if (!result.ok) {
        const { status, errors } = result.failure;
        if (status === 404 && errors?.length === 0) return succeed('none');
        if ((status === 403 || status === 404) && errors !== null) return succeed('closed');
        return fail(backendFailure(result.failure));
      }
      const reply = MarkReply.safeParse(result.value);
      if (!reply.success) {
        return fail(failure('backend_unreachable', "the backend's mark is not understood"));
      }
      const { data, metadata } = reply.data.data;
      return succeed({ ...data, version: metadata.version });
    },
    async write(mark, version) {
      const body = { options: { cas: version }, data: mark };
      const result = await session.call((token) => port.write(path, body, { token }));
      if (result.ok) return succeed('written');
      // 400 is how it says that the version is another one by now.
      if (result.failure.status === 400 && result.failure.errors !== null) return succeed('lost');
      return fail(backendFailure(result.failure));
    },
  };
}
