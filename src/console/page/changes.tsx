import { useEffect, useState } from 'preact/hooks';
import { visibleLine } from '../../lib/visible.ts';
import { canonical, hex, sha256 } from '../order.ts';
import type { PastChange, PastChanges, ShownChange } from '../shown-past.ts';
import { describeFailure, post } from './api.ts';
import { describeBytes, describeMoment } from './format.ts';
import { Older, questionOf, usePages, type Wanted } from './pages.tsx';
import { Fact, Fault, useOrder, useScreen } from './parts.tsx';
import { isLong, TextBlock } from './text.tsx';
import { words } from './words.ts';

/** Changes of files, each with what differs, and the way to undo it. */
export function Changes({ wanted, onTokens }: { wanted: Wanted; onTokens: (tokens: readonly string[]) => void }) {
  const { past } = words;
  const { pages, isBusy, fault, more } = usePages<PastChanges>('changes', questionOf(wanted));
  const changes = pages.flatMap((page) => page.changes);
  const last = pages.at(-1);
  useEffect(() => {
    if (last !== undefined) onTokens(last.tokens);
  }, [last]);
  return (
    <>
      <Fault text={fault} />
      {pages.length === 0 && isBusy && <p class="muted">{words.loading}</p>}
      {changes.length === 0 && !isBusy && <p class="empty">{past.none}</p>}
      <ul class="list">
        {changes.map((one) => (
          <ChangeItem key={one.change} one={one} />
        ))}
      </ul>
      <Older isBusy={isBusy} more={more} />
      <p class="muted">{past.changesKept}</p>
    </>
  );
}

function ChangeItem({ one }: { one: PastChange }) {
  const { past, request } = words;
  const [isShown, setShown] = useState(false);
  const path = visibleLine(one.path);
  const size = (bytes: number | null): string => (bytes === null ? request.noFile : describeBytes(bytes));
  return (
    <li>
      <div class="line">
        <div>
          <code class="command">{path}</code>
          <p class="muted">
            <span class="tag">{visibleLine(one.op)}</span> {describeMoment(one.at)} · {visibleLine(one.token)} ·{' '}
            {size(one.before_bytes)} → {size(one.after_bytes)}
          </p>
        </div>
        <button
          type="button"
          class="quiet"
          aria-expanded={isShown}
          aria-label={past.differenceOf(path)}
          onClick={() => setShown(!isShown)}
        >
          {past.difference}
        </button>
      </div>
      {isShown && <ChangeDetails one={one} />}
    </li>
  );
}

function ChangeDetails({ one }: { one: PastChange }) {
  const { past, request } = words;
  const { person } = useScreen();
  const { isBusy, fault, send } = useOrder();
  const { shown, failed, ask } = useChange(one.change);
  const [isRead, setRead] = useState(false);
  const [isDone, setDone] = useState(false);
  const undo = async (known: ShownChange): Promise<void> => {
    const digest = hex(await sha256(canonical(known)));
    setDone(await send({ kind: 'undo', change: known.change, path: known.path, expected: known.now, digest }));
    setRead(false);
    ask();
  };
  if (shown === undefined) return <p class="muted">{failed ?? words.loading}</p>;
  // What is signed is `shown`: a list that says something else of it would have another change undone than a person sees.
  if (!isOf(one, shown)) return <Fault text={past.differs(visibleLine(shown.path))} />;
  const { diff, obstacle, before, now, after } = shown;
  const isUnread = isLong(diff) && !isRead;
  return (
    <>
      {diff !== '' && (
        <TextBlock
          name={now === after ? request.difference : past.differenceSince}
          text={diff.replace(/\n$/, '')}
          isDiff
          onRead={() => setRead(true)}
        />
      )}
      {obstacle === '' && (
        <dl class="facts">
          <Fact name={past.hashBefore}>{before === '' ? request.noFile : visibleLine(before)}</Fact>
          <Fact name={past.hashNow}>{now === '' ? request.noFile : visibleLine(now)}</Fact>
        </dl>
      )}
      <Fault text={fault} />
      {isDone && (
        <p class="decided" role="status">
          {past.undone}
        </p>
      )}
      {obstacle !== '' && !isDone && <p class="muted">{obstacle}</p>}
      {obstacle === '' && (
        <>
          <button
            type="button"
            aria-label={past.undoLabel(visibleLine(shown.path))}
            disabled={isBusy || isUnread || person?.passkey !== true}
            onClick={() => void undo(shown)}
          >
            {isBusy ? request.signing : past.undo}
          </button>
          {isUnread && <p class="muted">{past.readFirst}</p>}
        </>
      )}
    </>
  );
}

/** Whether a row of the list says of a change what its details say. */
function isOf(row: PastChange, { change, token, op, path, at, before_bytes, after_bytes }: ShownChange): boolean {
  return canonical(row) === canonical({ change, token, op, path, at, before_bytes, after_bytes });
}

/** What the agent shows of a change; asked again after an undo. */
function useChange(change: string) {
  const [shown, setShown] = useState<ShownChange>();
  const [failed, setFailed] = useState<string>();
  const [asked, setAsked] = useState(0);
  useEffect(() => {
    const stop = new AbortController();
    // What comes is another text, to be read from its start.
    setShown(undefined);
    post<ShownChange>('change', { change }, stop.signal).then(setShown, (error) => {
      if (!stop.signal.aborted) setFailed(describeFailure(error));
    });
    return () => stop.abort();
  }, [change, asked]);
  return { shown, failed, ask: () => setAsked((number) => number + 1) };
}
