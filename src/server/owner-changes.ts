import { type CallContext, contextOf } from '../calls/context.ts';
import { WireRefusal } from '../console/channel.ts';
import { canonical, type UndoOrder } from '../console/order.ts';
import { describeSigner } from '../console/order-rules.ts';
import type { Signature } from '../console/passkeys.ts';
import type { ChangeFilter, ChangesOfFiles } from '../console/past.ts';
import type { PastChange, PastChanges, ShownChange } from '../console/shown-past.ts';
import { nameOf } from '../console/view.ts';
import { describeChange } from '../files/diff.ts';
import { NO_PART, openPlace, roomFor } from '../files/open.ts';
import { fileOrNothing, requireWhole } from '../files/place.ts';
import { isOwn, putBack } from '../files/undo.ts';
import type { Change } from '../files/versions.ts';
import { Deadline } from '../lib/clock.ts';
import { AgentError } from '../lib/errors.ts';
import type { Deps } from './deps.ts';

const MOST_ROWS = 100;
/** Longest difference that fits a frame. A change that cannot be shown cannot be undone. */
const MOST_DIFF_CHARS = 300_000;
/** Time limit of reading a file or undoing a change. */
const SECONDS = 20;
/** How long after it was shown a change may be undone. */
const MOST_SHOWN = 200;
const ADDRESS = 'console';

type OwnerDeps = Pick<Deps, 'versions' | 'shutdown' | 'freeze'> & Parameters<typeof putBack>[0];

/** Shows the owner changes of files, and undoes them. */
export class OwnerChanges implements ChangesOfFiles {
  /** What was shown, by its digest: the change, and the content of the file at that time. */
  readonly #shown = new Map<string, Pick<ShownChange, 'change' | 'now'>>();

  constructor(private readonly deps: OwnerDeps) {}

  list({ from = 0, to = Number.POSITIVE_INFINITY, token, text = '', before }: ChangeFilter): PastChanges {
    const all = this.deps.versions.everyone();
    const wanted = all.filter(
      ({ id, principal, path, at }) =>
        (before === undefined || id < before) &&
        at >= from &&
        at < to &&
        (token === undefined || nameOf(principal) === token) &&
        path.toLowerCase().includes(text.toLowerCase()),
    );
    const changes = wanted.slice(0, MOST_ROWS).map(rowOf);
    const tokens = [...new Set(all.map(({ principal }) => nameOf(principal)))].sort();
    return { changes, next: wanted.length > MOST_ROWS ? (changes.at(-1)?.change ?? null) : null, tokens };
  }

  async show(id: string): Promise<ShownChange> {
    const change = this.#find(id);
    if (change === undefined) throw new WireRefusal('BadRequest', 'This change is no longer stored.');
    const shown = await this.#look(change);
    this.#shown.set(digestOf(shown), { change: id, now: shown.now });
    const [oldest] = this.#shown.keys();
    if (this.#shown.size > MOST_SHOWN && oldest !== undefined) this.#shown.delete(oldest);
    return shown;
  }

  /** Executes a signed undo. Returns why it was not done; undefined when it was. Rejects with the refusal of the undo. */
  async undo(order: UndoOrder, signature: Signature): Promise<string | undefined> {
    const { path, expected, digest } = order;
    const change = this.#find(order.change);
    if (change === undefined) return 'this change is no longer stored';
    const shown = this.#shown.get(digest);
    const isShown = shown?.change === change.id && shown.now === expected && change.path === path;
    if (!isShown) return 'it is not the change that was shown';
    // Only once, because the file has another state afterwards.
    this.#shown.delete(digest);
    try {
      this.deps.freeze.require();
      const onRecord = { by: describeSigner(signature), undoes: change.id, signed: signature };
      let isDone = false;
      await putBack(
        this.deps,
        this.#contextOf(change),
        change,
        (changed) => {
          isDone = changed.change !== undefined;
          return {};
        },
        { expected, onRecord },
      );
      return isDone ? undefined : 'the file already has the content from before';
    } catch (error) {
      if (error instanceof AgentError) return error.hint ?? error.error;
      throw error;
    }
  }

  #find(id: string): Change | undefined {
    return this.deps.versions.everyone().find((one) => one.id === id);
  }

  /** Runs as a call of the token of the change, whose profile defines the meaning of paths. */
  #contextOf({ principal }: Change): CallContext {
    const { deps } = this;
    return contextOf(deps, { principal, address: ADDRESS, deadline: Deadline.after(SECONDS), shutdown: deps.shutdown });
  }

  async #look(change: Change): Promise<ShownChange> {
    const { before, after } = change;
    const known = { ...rowOf(change), before: before?.sha256 ?? '', after: after?.sha256 ?? '' };
    try {
      const bytes = await this.deps.versions.contentBefore(change);
      const present = await this.#present(change);
      const now = present === undefined ? '' : Bun.SHA256.hash(present, 'hex');
      const diff = await describeChange(bytes, present, async (text) => text);
      const isLong = diff.length > MOST_DIFF_CHARS;
      const obstacle = isLong ? 'It is too large to be shown here.' : this.#obstacleTo(change, known.before, now);
      return { ...known, now, diff: isLong ? diff.slice(0, MOST_DIFF_CHARS).toWellFormed() : diff, obstacle };
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
      return { ...known, now: '', diff: '', obstacle: error.hint ?? error.error };
    }
  }

  #obstacleTo(change: Change, before: string, now: string): string {
    if (now === before) return 'The file already has the content from before this change.';
    if (now === '' || isOwn(this.deps, change, now)) return '';
    return 'The file was changed again since then, and an undo would also undo that.';
  }

  /** Reads the current content of the file, with the rights of the token. */
  async #present(change: Change): Promise<Uint8Array | undefined> {
    const context = this.#contextOf(change);
    await using place = await openPlace(this.deps, context, change.path, NO_PART);
    using _room = await roomFor(context, place);
    return fileOrNothing(place) && requireWhole(place, await place.read());
  }
}

/** Returns the SHA-256 of what is shown, which the page computes too. */
function digestOf(shown: ShownChange): string {
  return Bun.SHA256.hash(canonical(shown), 'hex');
}

function rowOf({ id, principal, op, path, at, before, after }: Change): PastChange {
  return {
    ...{ change: id, token: nameOf(principal), op, path, at },
    before_bytes: before?.size ?? null,
    after_bytes: after?.size ?? null,
  };
}
