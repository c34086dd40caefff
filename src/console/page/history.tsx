import { useEffect, useState } from 'preact/hooks';
import { visibleLine } from '../../lib/visible.ts';
import type { PastLine, PastLines, PastSession, PastSessions } from '../shown-past.ts';
import { Changes } from './changes.tsx';
import { commandLine, describeDuration, describeMoment } from './format.ts';
import { Older, questionOf, usePages, type Wanted } from './pages.tsx';
import { Fault } from './parts.tsx';
import { RecordLines } from './record.tsx';
import { SessionView } from './session.tsx';
import { words } from './words.ts';

const KINDS = ['commands', 'files', 'record'] as const;
type Kind = (typeof KINDS)[number];

const ALL: Wanted = { day: '', token: '', status: '', text: '' };
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
      {kind === 'commands' && <Commands wanted={wanted} onTokens={setTokens} />}
      {kind === 'files' && <Changes wanted={wanted} onTokens={setTokens} />}
      {kind === 'record' && <Lines wanted={wanted} />}
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
