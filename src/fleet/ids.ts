/** What an id of the fleet names: a session of the hub itself, or of the server with that tag. */
export interface FleetId {
  readonly id: string;
  /** 8 letters of the server's key; undefined: the hub. */
  readonly tag: string | undefined;
}

const TAGGED = /^(.{1,200})@([a-z2-7]{8})$/s;

/** The id by which clients of the hub know what the server with this tag calls `id`. */
export function fleetId(id: string, tag: string): string {
  return `${id}@${tag}`;
}

/** Reads an id as clients send it, letters of both cases. What has no tag is the hub's. */
export function parseFleetId(text: string): FleetId {
  const [, id = text, tag] = TAGGED.exec(text) ?? TAGGED.exec(text.toLowerCase()) ?? [];
  return tag === undefined ? { id: text, tag } : { id: text.slice(0, id.length), tag };
}

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?!@)/g;

/** Fields that are data of the server: what stands in them is left as it is. */
const DATA: readonly string[] = ['stdout', 'stderr', 'content', 'diff', 'cmd', 'path'];

/**
 * An answer of a server as the hub's clients get it: each id of a session bears the tag, also where a message names it as
 * the next call. Output and files stay as they are.
 */
export function withTags(answer: Readonly<Record<string, unknown>>, tag: string): Record<string, unknown> {
  const ids = new Set<string>();
  collect(answer, ids);
  const tagged = (text: string): string => text.replace(UUID, (id) => (ids.has(id) ? fleetId(id, tag) : id));
  return rewrite(answer, tagged) as Record<string, unknown>;
}

/** The same for a sentence about sessions alone, such as a refusal. */
export function withTagsInText(text: string, tag: string): string {
  return text.replace(UUID, (id) => fleetId(id, tag));
}

function collect(value: unknown, ids: Set<string>): void {
  if (typeof value !== 'object' || value === null) return;
  for (const [name, inner] of Object.entries(value)) {
    if (name === 'session' && typeof inner === 'string') ids.add(inner);
    else collect(inner, ids);
  }
}

function rewrite(value: unknown, tagged: (text: string) => string): unknown {
  if (typeof value === 'string') return tagged(value);
  if (Array.isArray(value)) return value.map((one) => rewrite(one, tagged));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [name, DATA.includes(name) ? inner : rewrite(inner, tagged)]),
  );
}
