import { useEffect, useState } from 'preact/hooks';
import { visibleLine } from '../../lib/visible.ts';
import type { PastLine, PastLines, PastSession, PastSessions } from '../shown-past.ts';
import { describeFailure, post } from './api.ts';
import { commandLine, describeDuration, describeMoment } from './format.ts';
import { Fault } from './parts.tsx';
import { RecordLines } from './record.tsx';
import { SessionView } from './session.tsx';
import { words } from './words.ts';

const KINDS = ['commands', 'record'] as const;
type Kind = (typeof KINDS)[number];

/** What is looked for. */
export interface Wanted {
  readonly day: string;
  readonly token: string;
  readonly status: string;
  readonly text: string;
}

const ALL: Wanted = { day: '', token: '', status: '', text: '' };
const DAY_MS = 86_400_000;
/** Typing is waited for. */
const TYPING_MS = 300;
const STATUSES = ['running', 'done', 'killed', 'timeout', 'output_limit', 'lost', 'denied'];

/** The session that the address names. */
function sessionHere(): string | undefined {
  return /^#history\/([0-9a-f-]{36})$/.exec(location.hash)?.[1];
}

/** What ran, by day, token and text; one session of it in full. */
export function HistoryView() {
  const [session, setSession] = useState(sessionHere);
  const [kind, setKind] = useState<Kind>('commands');
  const [wanted, setWanted] = useState(ALL);
  const [tokens, setTokens] = useState<readonly string[]>([]);
  useEffect(() => {
    const change = (): void => setSession(sessionHere());
    addEventListener('hashchange', change);
    return () => removeEventListener('hashchange', change);
  }, []);
  if (session !== undefined) return <SessionView key={session} session={session} />;
  return (
    <section>
      <h1>{words.history}</h1>
      <div class="actions" role="group" aria-label={words.past.kind}>
        {KINDS.map((one) => (
          <button key={one} type="button" aria-pressed={one === kind} onClick={() => setKind(one)}>
            {words.past.kinds[one]}
          </button>
        ))}
      </div>
      <Filter wanted={wanted} tokens={tokens} hasStatus={kind === 'commands'} onChange={setWanted} />
      {kind === 'commands' ? <Commands wanted={wanted} onTokens={setTokens} /> : <Lines wanted={wanted} />}
    </section>
  );
}

interface FilterProps {
  readonly wanted: Wanted;
  readonly tokens: readonly string[];
  readonly hasStatus: boolean;
  readonly onChange: (wanted: Wanted) => void;
}

function Filter({ wanted, tokens, hasStatus, onChange }: FilterProps) {
  const { past } = words;
  const change = (field: keyof Wanted) => (event: { currentTarget: { value: string } }) =>
    onChange({ ...wanted, [field]: event.currentTarget.value });
  return (
    <form class="filter" role="search" onSubmit={(event) => event.preventDefault()}>
      <label>
        {past.search}
        <input type="text" value={wanted.text} maxLength={200} onInput={change('text')} />
      </label>
      <label>
        {past.day}
        <input type="date" value={wanted.day} onInput={change('day')} />
      </label>
      <label>
        {past.token}
        <select value={wanted.token} onChange={change('token')}>
          <option value="">{past.anyToken}</option>
          {tokens.map((one) => (
            <option key={one} value={one}>
              {visibleLine(one)}
            </option>
          ))}
        </select>
      </label>
      {hasStatus && (
        <label>
          {past.status}
          <select value={wanted.status} onChange={change('status')}>
            <option value="">{past.anyStatus}</option>
            {STATUSES.map((one) => (
              <option key={one} value={one}>
                {words.status[one]}
              </option>
            ))}
          </select>
        </label>
      )}
    </form>
  );
}

/** What the agent is asked. A day is one of the reader's. */
export function questionOf({ day, token, text }: Wanted): Readonly<Record<string, unknown>> {
  const from = day === '' ? Number.NaN : new Date(`${day}T00:00:00`).getTime();
  return {
    ...(Number.isFinite(from) && from >= 0 && { from, to: from + DAY_MS }),
    ...(token !== '' && { token }),
    ...(text.trim() !== '' && { text: text.trim() }),
  };
}

/** Answers to one question, page by page: the newest question counts, and typing is waited for. */
export function usePages<Page extends { readonly next: unknown }>(name: string, question: object) {
  const [pages, setPages] = useState<readonly Page[]>([]);
  const [isBusy, setBusy] = useState(true);
  const [fault, setFault] = useState<string>();
  const asked = JSON.stringify(question);
  const load = async (before: unknown, signal?: AbortSignal): Promise<void> => {
    setBusy(true);
    try {
      const page = await post<Page>(name, { ...question, ...(before !== undefined && { before }) }, signal);
      if (signal?.aborted) return;
      setPages((old) => (before === undefined ? [page] : [...old, page]));
      setFault(undefined);
    } catch (error) {
      if (!signal?.aborted) setFault(describeFailure(error));
    }
    if (!signal?.aborted) setBusy(false);
  };
  useEffect(() => {
    const stop = new AbortController();
    const timer = setTimeout(() => void load(undefined, stop.signal), pages.length === 0 ? 0 : TYPING_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [name, asked]);
  const next = pages.at(-1)?.next ?? null;
  return { pages, isBusy, fault, more: next === null ? undefined : () => void load(next) };
}

interface OlderProps {
  readonly isBusy: boolean;
  readonly more: (() => void) | undefined;
}

/** The way to the next page. */
export function Older({ isBusy, more }: OlderProps) {
  if (more === undefined) return null;
  return (
    <button type="button" class="wide" disabled={isBusy} onClick={more}>
      {isBusy ? words.loading : words.past.older}
    </button>
  );
}

function Commands({ wanted, onTokens }: { wanted: Wanted; onTokens: (tokens: readonly string[]) => void }) {
  const question = { ...questionOf(wanted), ...(wanted.status !== '' && { status: wanted.status }) };
  const { pages, isBusy, fault, more } = usePages<PastSessions>('history', question);
  const sessions = pages.flatMap((page) => page.sessions);
  const last = pages.at(-1);
  useEffect(() => {
    if (last !== undefined) onTokens(last.tokens);
  }, [last]);
  return (
    <>
      <Fault text={fault} />
      {pages.length === 0 && isBusy && <p class="muted">{words.loading}</p>}
      {sessions.length === 0 && !isBusy && <p class="empty">{words.past.none}</p>}
      <ul class="list">
        {sessions.map((one) => (
          <SessionItem key={one.session} one={one} />
        ))}
      </ul>
      <Older isBusy={isBusy} more={more} />
      {last !== undefined && more === undefined && last.kept_since !== null && (
        <p class="muted">{words.past.keptSince(describeMoment(last.kept_since))}</p>
      )}
    </>
  );
}

function SessionItem({ one }: { one: PastSession }) {
  const { views, time, past } = words;
  const command = commandLine(one.cmd);
  const isOver = one.status !== 'running' && one.status !== 'waiting';
  const isGood = one.status === 'done' && one.exit_code === 0;
  return (
    <li>
      <div class="line">
        <div>
          <code class="command">{command}</code>
          <p class="muted">
            <span class={isGood ? 'tag good' : isOver ? 'tag bad' : `tag ${one.status}`}>
              {one.status === 'done' && one.exit_code !== null
                ? views.exit(one.exit_code)
                : (words.status[one.status] ?? one.status)}
            </span>{' '}
            {describeMoment(one.started_at)}
            {one.duration_ms !== null && ` · ${time.after(describeDuration(one.duration_ms))}`} ·{' '}
            {visibleLine(one.token)}
          </p>
        </div>
        <a class="button quiet" href={`#history/${one.session}`} aria-label={past.openLabel(command)}>
          {past.open}
        </a>
      </div>
    </li>
  );
}

function Lines({ wanted }: { wanted: Wanted }) {
  const { past } = words;
  const { pages, isBusy, fault, more } = usePages<PastLines>('record', questionOf(wanted));
  const lines = pages.flatMap<PastLine>((page) => page.lines);
  const last = pages.at(-1);
  if (last?.missing === true) return <p class="empty">{past.noRecord}</p>;
  return (
    <>
      <Fault text={fault} />
      {pages.length === 0 && isBusy && <p class="muted">{words.loading}</p>}
      {lines.length === 0 && !isBusy && <p class="empty">{past.none}</p>}
      <RecordLines lines={lines} />
      {last?.back_to != null && <p class="muted">{past.searchedTo(describeMoment(Date.parse(last.back_to)))}</p>}
      <Older isBusy={isBusy} more={more} />
    </>
  );
}
