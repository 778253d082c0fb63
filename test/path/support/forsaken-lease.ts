import { execFileSync, spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { PathWorld } from './path-world.ts';
import { backendAdmin } from './backend-admin.ts';
import { until } from './agent.ts';

/**
 * Makes OpenBao give up a lease as irrevocable, as six failed attempts of its own within some ten
 * minutes would: by that very mark in its storage, which only an administrator of a server started
 * for it can write. The server is killed, started with raw access, and started again without.
 */
export async function forsake(path: PathWorld, bao: string, leaseId: string): Promise<void> {
  const folder = dirname(path.world.backend.auditLog);
  const raw = join(folder, 'raw.hcl');
  await writeFile(raw, 'raw_storage_endpoint = true\n');
  path.world.backend.kill('SIGKILL');
  const args = ['server', `-config=${join(folder, 'openbao.hcl')}`, `-config=${raw}`];
  let server = spawn(bao, args, { cwd: folder, stdio: 'ignore' });
  const health = `http://127.0.0.1:${path.world.backend.port}/v1/sys/health`;
  try {
    await until('OpenBao is up with raw access', 20, async () => {
      // The one that was killed may hold the port for a moment.
      if (server.exitCode !== null) server = spawn(bao, args, { cwd: folder, stdio: 'ignore' });
      return fetch(health).then(
        ({ status }) => status === 200,
        () => false,
      );
    });
    const admin = await backendAdmin(path.world);
    const entry = `sys/raw/sys/expire/id/${leaseId}`;
    const { body } = await admin.call('GET', entry);
    const stored = JSON.parse(String(body.data?.['value'])) as object;
    const given = { ...stored, revokeErr: 'failed to revoke: the sixth attempt' };
    const written = await admin.call('PUT', entry, { value: JSON.stringify(given) });
    if (written.status >= 300) throw new Error(`not written: ${String(written.body.errors)}`);
  } finally {
    server.kill('SIGKILL');
  }
  await path.world.backend.start();
}

/** The program that runs at this moment. */
export function programOf(pid: number): string {
  return execFileSync('readlink', ['-f', `/proc/${pid}/exe`], { encoding: 'utf8' }).trim();
}
