import { useEffect, useState } from 'preact/hooks';
import { visibleLine } from '../../lib/visible.ts';
import type { PastLine, PastLines, SessionDetails } from '../shown-past.ts';
import { describeFailure, post } from './api.ts';
import { commandLine, describeDuration, describeMoment } from './format.ts';
import { Output, Terminal } from './output.tsx';
import { Fact, Fault } from './parts.tsx';
import { Player } from './player.tsx';
import { RecordLines } from './record.tsx';
import { TextBlock } from './text.tsx';
import { words } from './words.ts';

type Known = SessionDetails | { readonly expired: true };

/** One session: what ran, its output, and what the record says of it. */
export function SessionView({ session }: { session: string }) {
  const { past } = words;
  const [known, setKnown] = useState<Known>();
  const [lines, setLines] = useState<readonly PastLine[]>([]);
  const [fault, setFault] = useState<string>();
  useEffect(() => {
    const stop = new AbortController();
    const ask = <T,>(name: string): Promise<T> => post<T>(name, { session }, stop.signal);
    const fail = (error: unknown): void => {
      if (!stop.signal.aborted) setFault(describeFailure(error));
    };
    ask<Known>('session').then(setKnown, fail);
    ask<PastLines>('record').then((answer) => setLines(answer.lines), fail);
    return () => stop.abort();
  }, [session]);
  return (
    <section>
      <a class="button quiet" href="#history">
        {past.back}
      </a>
      <Fault text={fault} />
      {known === undefined && fault === undefined && <p class="muted">{words.loading}</p>}
      {known !== undefined && ('expired' in known ? <Expired /> : <Details details={known} />)}
      {lines.length > 0 && (
        <>
          <h2>{past.lines}</h2>
          <RecordLines lines={lines} />
        </>
      )}
    </section>
  );
}

function Expired() {
  return (
    <>
      <h1>{words.past.expiredTitle}</h1>
      <p class="notice">{words.past.expired}</p>
    </>
  );
}

function Details({ details }: { details: SessionDetails }) {
  const { past, views } = words;
  const { session, status, exit_code, decision, stopped_by, survivors, duration_ms } = details;
  const command = commandLine(details.cmd);
  const isOver = status !== 'running' && status !== 'waiting';
  const isGood = status === 'done' && exit_code === 0;
  return (
    <article class="card">
      <h1 class="command">{command}</h1>
      <p class="tags">
        <span class={isGood ? 'tag good' : isOver ? 'tag bad' : `tag ${status}`}>
          {status === 'done' && exit_code !== null ? views.exit(exit_code) : (words.status[status] ?? status)}
        </span>
        {details.terminal && <span class="tag">{views.terminal}</span>}
      </p>
      <dl class="facts tight">
        <Fact name={views.by}>{visibleLine(details.token)}</Fact>
        <Fact name={past.profile}>{visibleLine(details.profile)}</Fact>
        <Fact name={past.started}>{describeMoment(details.started_at)}</Fact>
        {duration_ms !== null && <Fact name={past.took}>{describeDuration(duration_ms)}</Fact>}
        <Fact name={past.directory}>{visibleLine(details.cwd)}</Fact>
        {details.address !== '' && <Fact name={past.address}>{visibleLine(details.address)}</Fact>}
        {decision !== null && (
          <Fact name={past.decided}>
            {visibleLine([decision.action, decision.by, decision.reason].filter(Boolean).join(' · '))}
          </Fact>
        )}
        {stopped_by !== '' && <Fact name={past.stoppedBy}>{visibleLine(stopped_by)}</Fact>}
        {survivors > 0 && <Fact name={past.left}>{past.processes(survivors)}</Fact>}
      </dl>
      <TextBlock name={past.command} text={details.cmd} onRead={() => {}} />
      {details.is_cut && <p class="muted">{past.cut}</p>}
      <h2>{past.output}</h2>
      {isOver ? (
        <Player details={details} name={command} />
      ) : details.terminal ? (
        <Terminal session={session} rows={details.rows} cols={details.cols} onOpen={() => {}} />
      ) : (
        <Output session={session} name={command} />
      )}
    </article>
  );
}
