import { z } from 'zod';
import { distinct, Line, Name, Names, Prose, Reach, Risk, Seconds } from './wording.ts';

/** A day, as for scopes. Seconds. */
const LONGEST_LIFE = 86_400;
const PARAMETERS_MAX = 16;

/** An approved kind of task. An intent that nobody approved cannot be declared. */
export const TaskType = z
  .strictObject({
    name: Name.describe('The name by which agents declare it.'),
    description: Line.describe('What is done, in one line.'),
    owner: Line.describe('The accountable person or team.'),
    ceiling: Reach.describe('What a task of this type may touch at most.'),
    scopes: Names.describe('Names of the scopes that a task of this type may ask for.'),
    max_ttl_seconds: Seconds.max(LONGEST_LIFE).describe(
      'The longest life of a task, from its first exchange, seconds.',
    ),
    risk: Risk.describe('How bad misuse would be.'),
    parameters: distinct(Name, PARAMETERS_MAX)
      .describe('Names that a task may give values for.')
      .optional(),
    acceptable_use: Prose.describe('What such a task may and may not be used for.'),
    threats_considered: Prose.describe(
      'What could go wrong, and what was done about it.',
    ).optional(),
    approval: Prose.describe('Where a person approves, in words.').optional(),
    escalation: Line.describe('Who is called when it goes wrong.'),
  })
  .describe('An approved kind of task.');
export type TaskType = z.infer<typeof TaskType>;
