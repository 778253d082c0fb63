/** A policy that was read and checked. */
export type Policy = {
  /** Its `@id`: stands in decisions, lists and records. */
  readonly id: string;
  readonly file: string;
  readonly text: string;
  readonly effect: 'permit' | 'forbid';
  /** Its `@description`, for the person who reads why. */
  readonly description?: string;
};
