import { z } from 'zod';
import { Line, Name, Prose, Reach, Risk, Seconds } from './wording.ts';

/** An approved kind of task. An intent that nobody approved cannot be declared. */
export const TaskType = z.strictObject({
  name: Name,
  description: Line,
  owner: Line,
  /** What a task of this type may touch at most. */
  ceiling: Reach,
  /** The scopes that a task of this type may ask for. */
  scopes: z.array(Name).min(1),
  /** The longest life of a task, from its first exchange. */
  max_ttl_seconds: Seconds.max(86_400),
  risk: Risk,
  /** Names that a task may give values for. */
  parameters: z.array(Name).max(16).optional(),
  acceptable_use: Prose,
  threats_considered: Prose.optional(),
  /** Where a person approves, in words. */
  approval: Prose.optional(),
  /** Who is called when it goes wrong. */
  escalation: Line,
});
export type TaskType = z.infer<typeof TaskType>;
