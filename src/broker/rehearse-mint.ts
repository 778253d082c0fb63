import type { Catalogue } from '../catalogue/catalogue.ts';
import type { Target } from '../catalogue/target.ts';
import type { Minter, Reaper } from '../mint/backend.ts';
import { tokenRoleOf } from '../mint/backend-names.ts';
import type { Rehearse } from '../target/postgres/rehearsal.ts';

/** Seconds that the batch token of a credential on trial lives: above the name's own life. */
const TRIAL_TOKEN_SECONDS = 90;

export type MintRehearsal = {
  readonly make: Rehearse;
  /** Ends what OpenBao still holds of the trials. */
  settle(): Promise<void>;
};

/** Makes credentials on trial exactly as an exchange does: through OpenBao, as the minter. */
export function rehearseThrough(
  identities: { readonly minter: Minter; readonly reaper: Reaper } | undefined,
  { scopes }: Catalogue,
  target: Target,
): MintRehearsal | undefined {
  if (!identities) return undefined;
  const { minter, reaper } = identities;
  const leases: string[] = [];
  return {
    async make(name, group) {
      const scope = [...scopes.values()].find(
        (one) => one.target === target.name && one.group === group,
      );
      if (!scope) throw new Error(`no scope hands out the group ${group}`);
      const tokenRole = tokenRoleOf(scope.name);
      const place = { ...target.backend, role: scope.backend_role, tokenRole };
      const token = await minter.token(place, name, TRIAL_TOKEN_SECONDS);
      if (!token.ok) throw new Error(token.failure.detail);
      const minted = await minter.credential(place, token.value);
      if (minted.kind !== 'minted') throw new Error(minted.failure.detail);
      leases.push(minted.backendLeaseId);
    },
    async settle() {
      for (const lease of leases.splice(0)) await reaper.revoke(lease);
    },
  };
}
