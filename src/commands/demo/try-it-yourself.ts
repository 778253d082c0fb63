import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { World } from './world.ts';
import { RECONCILER } from './stage.ts';

/**
 * Commands to paste into another terminal. Secrets and tokens lie in files: arguments can be seen
 * by every user of a machine.
 */
export async function commandsToPaste(world: World, mayfly: string): Promise<readonly string[]> {
  const folder = join(world.folder, 'try');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const agent = await tokenRequest(world, folder, RECONCILER, world.publicUrl);
  const person = await tokenRequest(world, folder, 'operator', `${world.publicUrl}/operators`);
  const at = (name: string) => shortest(join(folder, name));
  const keep = `node -e 'process.stdout.write(JSON.parse(fs.readFileSync(0)).access_token)'`;
  const broker = world.publicUrl;
  return [
    '# 1. A workload token, as any workload gets one from its identity provider.',
    `curl -s -K ${agent} | ${keep} >${at('token')}`,
    '# 2. The exchange: this token, this task, this scope, for a login that lives 300 seconds.',
    `curl -s ${broker}/exchange --data-urlencode subject_token@${at('token')} \\`,
    '  -d grant_type=urn:ietf:params:oauth:grant-type:token-exchange \\',
    '  -d subject_token_type=urn:ietf:params:oauth:token-type:jwt \\',
    '  -d scope=orders-read -d ttl=300 \\',
    // Another task each time: an ended one's identifier rests for a day.
    `  -d "resource=urn:mayfly:task:reconcile-invoice:invoice-$(date +%s)" >${at('lease.json')}`,
    '# 3. Use it.',
    `${mayfly} query --credential ${at('lease.json')} 'select status, count(*) from orders group by 1'`,
    '# 4. Done: the login dies. Then try 3 again.',
    `(printf 'Authorization: Bearer '; cat ${at('token')}) >${at('header')}`,
    `curl -s -X POST -H @${at('header')} -H 'content-type: application/json' -d '{"outcome":"succeeded"}' \\`,
    `  ${broker}/v1/tasks/$(node -p "JSON.parse(fs.readFileSync('${at('lease.json')}')).task_id")/complete; echo`,
    '# 5. What the operator sees.',
    `curl -s -K ${person} | ${keep} >${at('operator-token')}`,
    `${mayfly} leases --url ${broker} --token-file ${at('operator-token')} --all`,
  ];
}

/** A file for `curl -K` that asks the identity provider for a token of this client. */
async function tokenRequest(
  world: World,
  folder: string,
  client: string,
  audience: string,
): Promise<string> {
  const secrets = JSON.parse(
    await readFile(join(world.folder, 'identity', 'clients.json'), 'utf8'),
  ) as Record<string, string>;
  const file = join(folder, `${client}.curl`);
  const lines = [
    `url = "${world.issuer}/token"`,
    `user = "${client}:${secrets[client] ?? ''}"`,
    'data = "grant_type=client_credentials"',
    `data = "resource=${audience}"`,
  ];
  await writeFile(file, `${lines.join('\n')}\n`, { mode: 0o600 });
  return shortest(file);
}

/** As it is typed in the working folder. */
function shortest(file: string): string {
  const fromHere = relative(process.cwd(), file);
  return fromHere.startsWith('..') ? file : fromHere;
}
