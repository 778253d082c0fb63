import { fail, succeed } from '../../../src/foundation/result.ts';
import { errorTexts, VaultHttpError } from '../../../src/mint/vault-http-error.ts';
import type { VaultErrorKind } from '../../../src/mint/vault-http-error.ts';
import type { VaultPort, VaultResult } from '../../../src/mint/vault-port.ts';
import { ORDINARY } from '../../../src/mint/call-bounds.ts';
import type { CallBounds } from '../../../src/mint/call-bounds.ts';
import type { BackendReply, ModelBackend, Reply } from './backend-model.ts';

/** Carries one request to the backend and its answer back; `VaultErrorKind` where none comes. */
export type CarryRequest = (
  what: string,
  detail: string,
  bounds: CallBounds,
  work: (reply: Reply) => void,
) => Promise<BackendReply | 'unsent' | 'no_reply'>;

/** The calls of Mayfly to the backend, answered by the model. */
export function modelPort(backend: ModelBackend, carry: CarryRequest): VaultPort {
  const ask = async (
    method: string,
    path: string,
    detail: string,
    bounds: CallBounds | undefined,
    work: (reply: Reply) => void,
  ): Promise<VaultResult> => {
    const what = `${method} ${path}`;
    return resultOf(method, path, await carry(what, detail, bounds ?? ORDINARY, work));
  };
  return {
    read(path, { token, bounds }) {
      const [mount = '', creds, role = ''] = path.split('/');
      if (creds !== 'creds') throw new Error(`the backend's model does not know ${path} yet`);
      return ask('GET', path, '', bounds, (reply) =>
        backend.mint(token?.reveal() ?? '', mount, role, reply),
      );
    },
    write(path, body, { bounds }) {
      const member = (name: string) => String((body as Record<string, unknown>)[name]);
      if (path === 'sys/leases/revoke') {
        const id = member('lease_id');
        return ask('PUT', path, id, bounds, (reply) => backend.revoke(id, reply));
      }
      if (path === 'sys/leases/lookup') {
        const id = member('lease_id');
        return ask('PUT', path, id, bounds, (reply) => backend.lookup(id, reply));
      }
      if (!path.startsWith('auth/token/create/')) {
        throw new Error(`the backend's model does not know ${path} yet`);
      }
      const role = path.slice('auth/token/create/'.length);
      const name = member('display_name');
      const seconds = Number.parseInt(member('ttl'), 10);
      return ask('PUT', path, name, bounds, (reply) =>
        backend.makeToken(role, name, seconds, reply),
      );
    },
    list(path, { bounds }) {
      const prefix = path.replace('sys/leases/lookup/', '');
      return ask('LIST', path, '', bounds, (reply) => backend.list(prefix, reply));
    },
    delete: (path) => {
      throw new Error(`the backend's model does not know DELETE ${path} yet`);
    },
    close: () => undefined,
  };
}

function resultOf(
  method: string,
  path: string,
  reply: BackendReply | 'unsent' | 'no_reply',
): VaultResult {
  const problem = (kind: VaultErrorKind, why: string, more: object = {}) =>
    fail(new VaultHttpError({ kind, method, path, why, ...more }));
  if (reply === 'none') return problem('no_reply', 'reset', { wasReset: true });
  if (reply === 'unsent' || reply === 'no_reply') return problem(reply, reply);
  const { status, body } = reply;
  if (status < 300) return succeed(body);
  return problem('status', `status ${status}`, { status, errors: errorTexts(body) });
}
