import { preview } from '../lib/describe-schema.ts';
import { InvalidArguments } from '../lib/errors.ts';
import { foldNames } from '../lib/fold-names.ts';
import { expandNames } from './names.ts';

/** What a choice needs to know of a server. */
interface Named {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Which servers a call is for. */
export interface Choice {
  readonly servers?: readonly string[] | undefined;
  readonly select?: string | undefined;
  readonly except?: readonly string[] | undefined;
}

const MOST_NAMED = 10;
/** Of all patterns of a call together. */
const MOST_GIVEN = 2000;

/**
 * The servers that a call is for: those of `servers` in that order, or of `all` those that have every label of `select`,
 * without those of `except`. Throws `InvalidArguments` for a name that there is not, for labels that no server has, and
 * where nothing is left: a choice is never guessed.
 */
export function chooseServers<S extends Named>(all: readonly S[], { servers, select, except = [] }: Choice): S[] {
  if ((servers === undefined) === (select === undefined))
    throw new InvalidArguments(`run_on needs either servers or select. ${NOTHING}`);
  const among = select === undefined ? serversIn(all, servers ?? []) : all.filter(labelTest(select));
  const without = new Set(serversIn(all, except));
  const chosen = among.filter((server) => !without.has(server));
  if (chosen.length > 0) return chosen;
  const what = select === undefined ? 'servers' : `select ${preview(select)}`;
  throw new InvalidArguments(
    `${what}${except.length > 0 ? ' without except' : ''} chooses no server. ${NOTHING} list_servers shows names and labels.`,
  );
}

const NOTHING = 'Nothing was run.';

/** `web[1-3]` and the like, each of which has to be there. */
function serversIn<S extends Named>(all: readonly S[], given: readonly string[]): S[] {
  const known = new Map(all.map((server) => [server.name, server]));
  const names: string[] = [];
  for (const pattern of given) {
    names.push(...expandNames(pattern));
    if (names.length > MOST_GIVEN)
      throw new InvalidArguments(
        `A call may name at most ${MOST_GIVEN} servers. ${NOTHING} Use select, which goes by labels.`,
      );
  }
  const unknown = names.filter((name) => !known.has(name));
  if (unknown.length === 0) return [...new Set(names)].flatMap((name) => known.get(name) ?? []);
  const shown = foldNames(unknown).slice(0, MOST_NAMED).join(', ');
  throw new InvalidArguments(`There is no server ${shown}. ${NOTHING} list_servers shows all names.`);
}

/** `role=web,env=prod`: a server fits that has all of them. */
function labelTest(select: string): (server: Named) => boolean {
  const wanted = select.split(',').map((part) => {
    const [, name, value] = /^\s*([\w.-]+)=([\w.-]*)\s*$/.exec(part) ?? [];
    if (name === undefined || value === undefined)
      throw new InvalidArguments(`select must be name=value, joined by commas, not ${preview(select)}. ${NOTHING}`);
    return [name, value] as const;
  });
  return ({ labels }) => wanted.every(([name, value]) => labels[name] === value);
}

/**
 * How many servers each batch has: a number, or a part of all in per cent, rounded up; the last takes what is left. Throws
 * `InvalidArguments` for what is neither, and where the batches do not reach every server.
 */
export function planBatches(count: number, batches: readonly (number | string)[]): number[] {
  if (batches.length === 0) return [count];
  const sizes: number[] = [];
  let left = count;
  for (const batch of batches) {
    if (left === 0) break;
    const size = Math.min(left, sizeOf(batch, count));
    sizes.push(size);
    left -= size;
  }
  if (left === 0) return sizes;
  throw new InvalidArguments(
    `batches cover only ${count - left} of ${count} servers. End with "100%", which means all that remain. ${NOTHING}`,
  );
}

function sizeOf(batch: number | string, count: number): number {
  const [, number, percent] = /^(\d{1,6})(%)?$/.exec(String(batch)) ?? [];
  const value = Number(number);
  const isRight = percent === undefined ? value >= 1 : value >= 1 && value <= 100;
  if (number === undefined || !isRight)
    throw new InvalidArguments(
      `A batch must be a number of servers, or "1%" to "100%", not ${preview(batch)}. ${NOTHING}`,
    );
  return percent === undefined ? value : Math.ceil((count * value) / 100);
}
