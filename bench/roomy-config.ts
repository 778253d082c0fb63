import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The shipped catalogue without the caps that a bench would only run into. */
export async function roomyConfig(folder: string): Promise<string> {
  const config = join(folder, 'config');
  await cp('config', config, { recursive: true });
  await edit(join(config, 'limits.yaml'), (text) =>
    text.replace(/requests_per_minute: \d+/, 'requests_per_minute: 1000000'),
  );
  for (const agent of ['invoice-reconciler', 'report-writer']) {
    await edit(join(config, 'agents', `${agent}.yaml`), (text) =>
      text
        .replace(/open_leases: \d+/, 'open_leases: 10000')
        .replace(/leases_per_minute: \d+/, 'leases_per_minute: 100000'),
    );
  }
  return config;
}

async function edit(file: string, change: (text: string) => string): Promise<void> {
  await writeFile(file, change(await readFile(file, 'utf8')));
}
