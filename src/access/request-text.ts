/**
 * The fields of an approval request, in the order of its digest. Imports nothing, because the owner's page also uses it
 * to compute the digest from what it shows.
 */
export const REQUEST_FIELDS = [
  'server',
  'session',
  'token',
  'address',
  'profile',
  'user',
  'cmd',
  'cwd',
  'env',
  'stdin',
  'file',
  'context',
  'dialog',
  'input',
  'limit_seconds',
  'reason',
  'part',
  'allowable',
  'plan',
  'asked_at',
  'salt',
  'expires_at',
] as const;

export type RequestField = (typeof REQUEST_FIELDS)[number];

/** Returns the text whose SHA-256 is the digest of a request. */
export function requestText(request: Readonly<Partial<Record<RequestField, unknown>>>): string {
  const fields = REQUEST_FIELDS.map((name) => {
    const value = request[name];
    return typeof value === 'object' && value !== null
      ? Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
      : value;
  });
  return JSON.stringify(fields);
}
