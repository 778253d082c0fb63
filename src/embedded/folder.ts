import { chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { systemClock } from '../foundation/clock.ts';
import type { Ids } from '../foundation/ids.ts';
import { SecretText } from '../foundation/secret-text.ts';
import { claim } from './claim.ts';
import { freePort, isFree } from './loopback-port.ts';

/** The folder in which one embedded world keeps everything, used by one process at a time. */
export type StateFolder = {
  readonly path: string;
  /** A path below the folder. */
  inside(...names: string[]): string;
  /** The file of a secret: mode 0600, below `secrets/`. It exists after `secret(name)`. */
  secretFile(name: string): string;
  /** A random secret, made when it is asked for first and the same ever after. */
  secret(name: string): Promise<SecretText>;
  /** Stores a secret that somebody else made. */
  keepSecret(name: string, secret: SecretText): Promise<void>;
  /** A free port on loopback: the one that `name` had last time, while nobody else took it. */
  port(name: string): Promise<number>;
  /** Lets another process use the folder. */
  release(): Promise<void>;
};

const SECRET_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

/**
 * Opens a state folder, which is made when it is missing and closed to others when it is not.
 *
 * @throws when a living process uses it; the message names that process.
 */
export async function openFolder(path: string, ids: Ids): Promise<StateFolder> {
  const folder = resolve(path);
  const secrets = join(folder, 'secrets');
  await mkdir(folder, { recursive: true });
  await chmod(folder, privateMode());
  await mkdir(secrets, { recursive: true, mode: 0o700 });
  const claimed = await claim(join(folder, 'in-use'), `The folder ${folder}`);
  const secretFile = (name: string) => join(secrets, checkedName(name));
  return {
    path: folder,
    inside: (...names) => join(folder, ...names),
    secretFile,
    secret: (name) => secretIn(secretFile(name), ids),
    keepSecret: (name, secret) => replaceFile(secretFile(name), secret.reveal()),
    port: rememberedPorts(join(folder, 'ports.json')),
    release: () => claimed.release(),
  };
}

/**
 * Closed to others. As root they may pass through, but not look: Postgres runs as another user
 * then, and what is secret has its own mode.
 */
function privateMode(): number {
  return process.getuid?.() === 0 ? 0o711 : 0o700;
}

function checkedName(name: string): string {
  if (!SECRET_NAME.test(name)) {
    throw new Error(`"${name}" is not a name for a secret.`);
  }
  return name;
}

async function secretIn(file: string, ids: Ids): Promise<SecretText> {
  const known = await readFile(file, 'utf8').catch(() => undefined);
  if (known !== undefined) {
    return new SecretText(known.trimEnd());
  }
  const made = ids.password();
  await replaceFile(file, made);
  return new SecretText(made);
}

/** Whole or not at all, also when we are killed in between. */
async function replaceFile(file: string, content: string): Promise<void> {
  const draft = `${file}.new`;
  await writeFile(draft, content, { mode: 0o600 });
  await rename(draft, file);
}

function rememberedPorts(file: string): (name: string) => Promise<number> {
  let last: Promise<unknown> = Promise.resolve();
  // One after the other: each reads and writes the whole file.
  return (name) => {
    const mine = last.then(() => rememberedPort(file, name));
    last = mine.catch(() => undefined);
    return mine;
  };
}

async function rememberedPort(file: string, name: string): Promise<number> {
  const ports = await readPorts(file);
  const known = ports[name];
  if (known !== undefined && (await becomesFree(known))) {
    return known;
  }
  const taken = Object.values(ports);
  let port = await freePort();
  while (taken.includes(port)) {
    port = await freePort();
  }
  await replaceFile(file, JSON.stringify({ ...ports, [name]: port }));
  return port;
}

/** Milliseconds that a server whose owner was killed may still hold its port. */
const PORT_PATIENCE_MS = 3_000;
const PORT_POLL_MS = 50;

async function becomesFree(port: number): Promise<boolean> {
  const deadline = systemClock.monotonicMs() + PORT_PATIENCE_MS;
  while (!(await isFree(port))) {
    if (systemClock.monotonicMs() > deadline) {
      return false;
    }
    await systemClock.sleep(PORT_POLL_MS);
  }
  return true;
}

async function readPorts(file: string): Promise<Record<string, number>> {
  const text = await readFile(file, 'utf8').catch(() => '{}');
  return JSON.parse(text) as Record<string, number>;
}
