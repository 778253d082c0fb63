import type { Targets } from './broker/parts.ts';
import type { Catalogue, CatalogueProblem } from './catalogue/catalogue.ts';
import type { Readied } from './catalogue/source.ts';
import type { Target } from './catalogue/target.ts';
import type { Clock } from './foundation/clock.ts';
import { codeOf } from './foundation/failure.ts';
import { faultOf } from './foundation/fault.ts';
import type { Log } from './foundation/log.ts';
import type { Secrets } from './settings/load-settings.ts';
import { connectTarget } from './target/postgres/connect-target.ts';
import type { TargetAccess } from './target/target-access.ts';

/** Connections to the targets of the catalogue in force. */
export type OpenTargets = Targets & {
  /**
   * Opens what is new. Entering it closes what moved or went; what did not change stays open. With
   * any problem nothing is opened and all stays as it is.
   */
  ready(catalogue: Catalogue): Promise<Readied>;
  close(): Promise<void>;
};

type Open = { readonly key: string; readonly access: TargetAccess & { close(): Promise<void> } };

/** Opens none of them yet: `ready` the first catalogue and enter it. */
export function openTargets(
  secrets: Pick<Secrets, 'named'>,
  installation: string,
  clock: Clock,
  log: Log,
): OpenTargets {
  let open: ReadonlyMap<string, Open> = new Map();
  const closeBehind = (left: readonly Open[]) => {
    // Calls under way on them end first, which may take a while; nobody needs to wait for it.
    for (const { access } of left) {
      access.close().catch((thrown: unknown) => {
        log.warn({ fault: faultOf(thrown) }, 'closing a target that left the catalogue');
      });
    }
  };
  const enter = (next: ReadonlyMap<string, Open>) => {
    const left = [...open.values()].filter(({ access }) => !isOpenIn(next, access));
    open = next;
    closeBehind(left);
  };
  const ready = async ({ targets, limits }: Catalogue): Promise<Readied> => {
    const next = new Map<string, Open>();
    const problems: CatalogueProblem[] = [];
    for (const target of targets.values()) {
      const config = configOf(target, secrets, installation, limits.endings_per_target);
      if (!config) continue;
      const key = JSON.stringify([target, limits.endings_per_target]);
      const known = open.get(target.name);
      try {
        const access =
          known?.key === key
            ? known.access
            : await connectTarget(
                config,
                clock,
                log.child({ part: 'target', target: target.name }),
              );
        next.set(target.name, { key, access });
      } catch (thrown) {
        problems.push(caUnreadable(target, thrown));
      }
    }
    if (problems.length === 0) return { ok: true, enter: () => enter(next) };
    closeBehind([...next.values()].filter(({ access }) => !isOpenIn(open, access)));
    return { ok: false, problems };
  };
  return {
    access: (target) => open.get(target)?.access,
    names: () => [...open.keys()],
    ready,
    async close() {
      await Promise.all([...open.values()].map(({ access }) => access.close()));
    },
  };
}

/** The only thing that opening a target reads; that it is out of reach is no fault of the catalogue. */
function caUnreadable({ name, ca_file }: Target, thrown: unknown): CatalogueProblem {
  return {
    file: `targets/${name}.yaml`,
    line: 1,
    column: 1,
    field: 'ca_file',
    problem: `names the file "${ca_file ?? ''}", which cannot be read (${codeOf(thrown) ?? 'error'})`,
    remedy: 'Put the file there, readable for the broker.',
  };
}

function isOpenIn(next: ReadonlyMap<string, Open>, access: TargetAccess): boolean {
  return [...next.values()].some((other) => other.access === access);
}

/** Undefined for a target without a guard or without a prover: OpenBao alone ends its leases. */
function configOf(
  target: Target,
  { named }: Pick<Secrets, 'named'>,
  installation: string,
  maxConnections: number,
) {
  const { guard, prover, database } = target;
  const guardPassword = named.get(guard?.secret ?? '');
  const proverPassword = named.get(prover?.secret ?? '');
  if (!guard || !prover || !guardPassword || !proverPassword) return undefined;
  const { host, port } = target.server ?? target.client;
  return {
    host,
    port,
    database,
    tls: tlsOf(target),
    installation,
    guard: { username: guard.username, password: guardPassword },
    prover: { username: prover.username, password: proverPassword },
    maxConnections,
  };
}

function tlsOf({ tls, ca_file }: Target): 'disable' | { readonly caFile?: string } {
  if (tls === 'disable') return tls;
  return ca_file === undefined ? {} : { caFile: ca_file };
}
