/**
 * What an error of Postgres or of a socket says. Such messages name hosts, roles and objects, never
 * passwords. A failed connection to a name with several addresses has an empty message and a code.
 */
export function errorWords(error: unknown): string {
  if (typeof error !== 'object' || error === null) return 'unknown error';
  if ('message' in error && typeof error.message === 'string' && error.message !== '') {
    return error.message;
  }
  return 'code' in error && typeof error.code === 'string' ? error.code : 'unknown error';
}
