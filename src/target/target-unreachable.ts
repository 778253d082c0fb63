/**
 * The target could not be asked, or its answer was lost. What was asked may have been done: every
 * call may be repeated. The message holds no secret.
 */
export class TargetUnreachable extends Error {
  override readonly name = 'TargetUnreachable';
}
