import { type Static, Type } from '@sinclair/typebox';
import type { AuditLine } from '../audit/chain.ts';
import { searchRecord } from '../audit/search-record.ts';
import type { Timings } from '../commands/timings.ts';
import type { Turns } from '../lib/shares.ts';
import { keptText } from '../sessions/kept.ts';
import type { SessionStore } from '../sessions/store.ts';
import { readAsked } from './asked.ts';
import { MOST_ROWS, pastSessions, sessionDetails, timingPart } from './past-sessions.ts';
import type { PastChanges, PastLine, PastLines, ShownChange } from './shown-past.ts';

/** Which changes are wanted; what is left out does not count. Times are milliseconds since the epoch. */
export interface ChangeFilter {
  readonly from?: number;
  readonly to?: number;
  readonly token?: string;
  /** In the path. */
  readonly text?: string;
  readonly before?: string;
}

/** What is known of the changes of files. */
export interface ChangesOfFiles {
  list(filter: ChangeFilter): PastChanges;
  /** Rejects with `WireRefusal` for an unknown change. */
  show(change: string): Promise<ShownChange>;
}

export interface PastDeps {
  readonly store: SessionStore;
  readonly timings: Pick<Timings, 'flush'>;
  readonly turns: Turns;
  readonly changes: ChangesOfFiles;
  /** `AGENT3_AUDIT_FILE`. */
  readonly auditFile: string | undefined;
}

/** Time after which work on the past lets others have their turn. */
const SLICE_MS = 10;
/** Most bytes of the record that are looked through for one answer. */
const MOST_RECORD_BYTES = 16 * 1_048_576;
/** Of all lines in an answer, and of one text in a line: more where one session is asked for. */
const MOST_LINES_CHARS = 400_000;
const [SHORT_CHARS, LONG_CHARS] = [300, 100_000];
/** Among tokens, whose names have no capital, the owner has turns too. */
const OWNER = 'OWNER';

/** Returns a function that lets others have their turn when work has taken `SLICE_MS` since the last time. */
export function resterOf(turns: Turns): () => Promise<void> {
  let began = performance.now();
  return async () => {
    if (performance.now() - began < SLICE_MS) return;
    await turns.take(OWNER);
    began = performance.now();
  };
}

const UUID = Type.String({ pattern: '^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$' });
const COUNT = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const TEXT = Type.String({ minLength: 1, maxLength: 200 });
const RANGE = {
  from: Type.Optional(COUNT),
  to: Type.Optional(COUNT),
  token: Type.Optional(TEXT),
  text: Type.Optional(TEXT),
};

const ASKED = {
  history: Type.Object({ ...RANGE, status: Type.Optional(TEXT), before: Type.Optional(UUID) }),
  session: Type.Object({ session: UUID }),
  timing: Type.Object({ session: UUID, from: COUNT }),
  changes: Type.Object({ ...RANGE, before: Type.Optional(UUID) }),
  change: Type.Object({ change: UUID }),
  record: Type.Object({ ...RANGE, session: Type.Optional(UUID), before: Type.Optional(COUNT) }),
};

/** What the agent answers about what was. */
export class Past {
  constructor(private readonly deps: PastDeps) {}

  /** The answer to an operation; undefined: it is about something else. Rejects with `WireRefusal`. */
  async answer(op: string, args: unknown): Promise<(() => object) | undefined> {
    const { store, timings, turns, changes } = this.deps;
    switch (op) {
      case 'history': {
        const found = await pastSessions(store, readAsked(ASKED.history, args), resterOf(turns));
        return () => found;
      }
      case 'session': {
        const { session } = readAsked(ASKED.session, args);
        return () => sessionDetails(store, session);
      }
      case 'timing': {
        const { session, from } = readAsked(ASKED.timing, args);
        const found = store.find(session);
        if (found !== undefined) timings.flush(found);
        return () => timingPart(store, session, from);
      }
      case 'changes': {
        const asked = readAsked(ASKED.changes, args);
        return () => changes.list(asked);
      }
      case 'change': {
        const shown = await changes.show(readAsked(ASKED.change, args).change);
        return () => shown;
      }
      case 'record': {
        const found = await this.#lines(readAsked(ASKED.record, args));
        return () => found;
      }
      default:
        return undefined;
    }
  }

  async #lines(asked: Static<(typeof ASKED)['record']>): Promise<PastLines> {
    const { auditFile, turns } = this.deps;
    if (auditFile === undefined) return { lines: [], next: null, back_to: null, missing: true };
    const limits = { lines: MOST_ROWS, bytes: MOST_RECORD_BYTES, rest: resterOf(turns) };
    const { lines, next, backTo } = await searchRecord(auditFile, asked, limits);
    const shown = fitting(lines, asked.session === undefined ? SHORT_CHARS : LONG_CHARS);
    const isCut = shown.length < lines.length;
    const last = isCut ? shown.at(-1) : undefined;
    return { lines: shown, next: last?.seq ?? next, back_to: last?.time ?? backTo ?? null, missing: false };
  }
}

/** The lines that one answer has room for, as they are shown: at least one. */
function fitting(lines: readonly AuditLine[], chars: number): PastLine[] {
  const shown: PastLine[] = [];
  let left = MOST_LINES_CHARS;
  for (const line of lines) {
    const one = shownLine(line, chars);
    left -= JSON.stringify(one).length;
    if (left < 0 && shown.length > 0) break;
    shown.push(one);
  }
  return shown;
}

function shownLine({ prev: _p, mac: _m, signed, ...line }: AuditLine, chars: number): PastLine {
  const fields = Object.entries(line).map(([name, value]) => [
    name,
    typeof value === 'string' ? keptText(value, chars) : value,
  ]);
  return { ...Object.fromEntries(fields), ...(signed !== undefined && { signed: true }) } as PastLine;
}
