/** JSON without spaces, the keys of every object sorted. Throws for what JSON has no form of. Imports nothing: the page shares it. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).filter(([, one]) => one !== undefined);
    const sorted = entries.sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${sorted.map(([key, one]) => `${JSON.stringify(key)}:${canonical(one)}`).join(',')}}`;
  }
  if (typeof value === 'number' && !Number.isFinite(value)) throw new TypeError(`${value} has no form in JSON`);
  if (!['string', 'number', 'boolean'].includes(typeof value) && value !== null)
    throw new TypeError(`${typeof value} has no form in JSON`);
  return JSON.stringify(value);
}
