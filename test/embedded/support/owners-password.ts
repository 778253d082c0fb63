/** Of all superusers and administrators in these tests; easy to find where it must not be. */
export const OWNERS_PASSWORD = 'owners-canary-5f1c';
