import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import type { Log } from '../foundation/log.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import { withSpan } from '../foundation/tracing.ts';
import type { BackendLease, BackendLeaseFacts, Reaper } from './backend.ts';
import { backendFailure } from './backend-failure.ts';
import { LIST, REVOKE } from './call-bounds.ts';
import { LeaseLookupReply, ListReply } from './replies.ts';
import type { Session } from './session.ts';
import type { VaultHttpError } from './vault-http-error.ts';
import type { VaultPort } from './vault-port.ts';

type Parts = { readonly port: VaultPort; readonly session: Session; readonly log: Log };

/** How OpenBao says that it knows no such lease. */
const NO_LEASE = 'invalid lease';

export function openReaper(parts: Parts): Reaper {
  const underWay = new Map<string, Promise<Result<'revoked', Failure>>>();
  return {
    revoke: (id) => {
      // Two revokes of one lease would only queue on its lock in OpenBao.
      const running = underWay.get(id);
      if (running !== undefined) return running;
      const started = withSpan('mint.revoke', {}, () => revoke(parts, id)).finally(() =>
        underWay.delete(id),
      );
      underWay.set(id, started);
      return started;
    },
    knows: async (id) => {
      const found = await lookUp(parts, id);
      return found.ok ? succeed(found.value !== null) : found;
    },
    lookUp: (id) => lookUp(parts, id),
    roles: (mount) => roles(parts, mount),
    list: (mount, role) => list(parts, mount, role),
  };
}

/**
 * Always `sync: true`: then the answer means that the target took it, and a lease that OpenBao gave
 * up on is really tried again. OpenBao answers 204 for a lease that it does not know (any more),
 * and 400 for one that the target did not take; that is tried again by the caller.
 */
async function revoke(
  { port, session, log }: Parts,
  id: string,
): Promise<Result<'revoked', Failure>> {
  const body = { lease_id: id, sync: true };
  const result = await session.call((token) =>
    port.write('sys/leases/revoke', body, { token, bounds: REVOKE }),
  );
  if (result.ok) return succeed('revoked');
  return notDone(log, result.failure, { lease: id });
}

async function lookUp(
  { port, session, log }: Parts,
  id: string,
): Promise<Result<BackendLeaseFacts | null, Failure>> {
  const result = await session.call((token) =>
    port.write('sys/leases/lookup', { lease_id: id }, { token }),
  );
  if (!result.ok) {
    const { status, errors } = result.failure;
    if (status === 400 && errors?.includes(NO_LEASE) === true) return succeed(null);
    return notDone(log, result.failure, { lease: id });
  }
  const reply = LeaseLookupReply.safeParse(result.value);
  if (!reply.success) {
    return fail(failure('backend_unreachable', "the backend's word on a lease is not understood"));
  }
  return succeed(factsOf(reply.data.data));
}

function factsOf(data: LeaseLookupReply['data']): BackendLeaseFacts {
  const issuedAt = new Date(data.issue_time);
  // What is left, taken from its end, is now by the clock that made both.
  const now = Date.parse(data.expire_time) - data.ttl * 1000;
  return { issuedAt, ageSeconds: (now - issuedAt.getTime()) / 1000, expired: data.ttl <= 0 };
}

async function roles(parts: Parts, mount: string): Promise<Result<readonly string[], Failure>> {
  const names = await listBelow(parts, `${mount}/creds/`);
  if (!names.ok) return names;
  return succeed(names.value.filter((name) => name.endsWith('/')).map((name) => name.slice(0, -1)));
}

async function list(
  parts: Parts,
  mount: string,
  role: string,
): Promise<Result<readonly BackendLease[], Failure>> {
  const prefix = `${mount}/creds/${role}/`;
  const names = await listBelow(parts, prefix);
  if (!names.ok) return names;
  return succeed(names.value.map((name) => ({ id: `${prefix}${name}` })));
}

/** OpenBao answers all at once; `LIST` bounds how much that may be. */
async function listBelow(
  { port, session, log }: Parts,
  prefix: string,
): Promise<Result<readonly string[], Failure>> {
  const result = await session.call((token) =>
    port.list(`sys/leases/lookup/${prefix}`, { token, bounds: LIST }),
  );
  if (!result.ok) {
    const { status, errors } = result.failure;
    // Nothing below the prefix is a 404 without a text; with one it is another thing.
    if (status === 404 && errors?.length === 0) return succeed([]);
    return notDone(log, result.failure, { prefix });
  }
  const reply = ListReply.safeParse(result.value);
  if (!reply.success) {
    return fail(failure('backend_unreachable', "the backend's list of leases is not understood"));
  }
  return succeed(reply.data.data.keys);
}

function notDone(
  log: Log,
  error: VaultHttpError,
  what: Readonly<Record<string, string>>,
): { ok: false; failure: Failure } {
  log.warn({ ...what, err: error.message, said: error.errors }, 'reaper call did not succeed');
  const problem = backendFailure(error);
  // `mint_refused` is the minter's word; to who ends things a refusal is one more delay.
  if (problem.reason !== 'mint_refused') return fail(problem);
  return fail(failure('backend_unreachable', problem.detail));
}
