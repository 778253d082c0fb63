export const SETTING_SAYS_SO = 'MAYFLY_OBSERVE is set';

/** The setting holds until an operator has confirmed since this process began. */
export function judgedBySetting(
  asked: boolean,
  confirmedAt: Date | null,
  startedAt: Date,
): string | null {
  if (!asked || (confirmedAt !== null && confirmedAt > startedAt)) return null;
  return SETTING_SAYS_SO;
}
