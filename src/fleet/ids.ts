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

const UUID_TEXT = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}';
/** An id in a text, with the tags that it bears already: they are no matter of the server. */
const NAMED = new RegExp(`(${UUID_TEXT})((?:@[a-z2-7]{8})*)`, 'gi');
const PLAIN = new RegExp(`^${UUID_TEXT}$`, 'i');

/** Fields that are data of the server: the text in them is left as it is. */
const DATA: readonly string[] = ['stdout', 'stderr', 'content', 'diff', 'cmd', 'path'];
/** Objects and lists within each other. No operation answers with a third of it. */
const MOST_DEPTH = 32;

/**
 * An answer of a server as the hub's clients get it: each id of a session bears the tag, also where a message names it as
 * the next call. Output and files stay as they are. Undefined: a `session` is no id of that server, or the answer is nested too deep.
 */
export function withTags(answer: Readonly<Record<string, unknown>>, tag: string): Record<string, unknown> | undefined {
  const ids = new Set<string>();
  if (!collect(answer, ids)) return undefined;
  const tagged = (text: string): string =>
    text.replace(NAMED, (whole, id: string, tags: string) =>
      tags !== '' || ids.has(id.toLowerCase()) ? fleetId(id, tag) : whole,
    );
  return rewrite(answer, tagged) as Record<string, unknown>;
}

/** The same for a sentence about sessions alone, such as a refusal. */
export function withTagsInText(text: string, tag: string): string {
  return text.replace(NAMED, (_, id: string) => fleetId(id, tag));
}

/** Gathers the ids of sessions, in small letters; false where the answer is not taken. */
function collect(value: unknown, ids: Set<string>, depth = 0): boolean {
  if (typeof value !== 'object' || value === null) return true;
  if (depth >= MOST_DEPTH) return false;
  return Object.entries(value).every(([name, inner]) => {
    if (name !== 'session' || inner === null) return collect(inner, ids, depth + 1);
    if (typeof inner !== 'string' || !PLAIN.test(inner)) return false;
    ids.add(inner.toLowerCase());
    return true;
  });
}

function rewrite(value: unknown, tagged: (text: string) => string): unknown {
  if (typeof value === 'string') return tagged(value);
  if (Array.isArray(value)) return value.map((one) => rewrite(one, tagged));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => {
      const isData = typeof inner === 'string' && DATA.includes(name);
      return [name, isData ? inner : rewrite(inner, tagged)];
    }),
  );
}
