import { z } from 'zod';
import { Line, Name } from './wording.ts';

export const PERMISSIONS = [
  'leases.read',
  'leases.revoke',
  'tasks.read',
  'tasks.revoke',
  'admin',
] as const;
export const Permission = z.enum(PERMISSIONS);
export type Permission = z.infer<typeof Permission>;

/** Who may operate: roles are sets of permissions, not a ladder. */
export const Operators = z.strictObject({
  roles: z.record(Name, z.array(Permission).min(1)),
  bindings: z
    .array(
      z.strictObject({
        /** An issuer of use `operator`. */
        issuer: Name,
        /** The claim that is looked at; a string or a list of strings. */
        claim: z.string().min(1),
        value: Line,
        role: Name,
      }),
    )
    .min(1),
});
export type Operators = z.infer<typeof Operators>;
