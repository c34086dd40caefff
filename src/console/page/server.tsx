import { useEffect, useState } from 'preact/hooks';
import { visibleLine, visibleText } from '../../lib/visible.ts';
import type { DoctorNote } from '../doctor-note.ts';
import type { Server } from '../shown.ts';
import { describeFailure, post } from './api.ts';
import { describeBytes, describeMoment, describeSpan } from './format.ts';
import { Fact, Fault, useNow } from './parts.tsx';
import { words } from './words.ts';

const AGAIN_MS = 10_000;
const MIB = 1_048_576;

/** Load, memory, disks, limits and version of the server, and what doctor last found. */
export function ServerView() {
  const { server, fault } = useServer();
  const text = words.server;
  return (
    <section>
      <h1>{text.title}</h1>
      <Fault text={fault} />
      {server === undefined ? (
        fault === undefined && <p class="muted">{words.loading}</p>
      ) : (
        <>
          <Machine server={server} />
          <Agent server={server} />
          <Doctor note={server.doctor} version={server.version} />
        </>
      )}
    </section>
  );
}

function useServer() {
  const [server, setServer] = useState<Server>();
  const [fault, setFault] = useState<string>();
  useEffect(() => {
    const stop = new AbortController();
    const look = (): void => {
      post<Server>('server', {}, stop.signal).then(
        (answer) => {
          setServer(answer);
          setFault(undefined);
        },
        (error) => stop.signal.aborted || setFault(describeFailure(error)),
      );
    };
    look();
    const timer = setInterval(() => document.hidden || look(), AGAIN_MS);
    return () => {
      clearInterval(timer);
      stop.abort();
    };
  }, []);
  return { server, fault };
}

const describeMib = (mib: number): string => describeBytes(mib * MIB);

function Machine({ server }: { server: Server }) {
  const text = words.server;
  const { total, available } = server.memory_mib;
  return (
    <article class="card">
      <h2>{text.machine}</h2>
      <dl class="facts tight">
        <Fact name={text.load}>{`${server.load.join(' ')} ${text.cpus(server.cpus)}`}</Fact>
        <Fact name={text.memory}>{text.of(describeMib(total - available), describeMib(total))}</Fact>
        {server.disks.map(({ path, free_mib, total_mib }) => (
          <Fact key={path} name={text.disk(visibleLine(path))}>
            {text.of(describeMib(free_mib), describeMib(total_mib))}
          </Fact>
        ))}
        <Fact name={text.up}>{describeSpan(server.uptime_seconds * 1000)}</Fact>
        <Fact name={text.system}>{visibleLine(`${server.os}, Linux ${server.kernel}, ${server.architecture}`)}</Fact>
      </dl>
    </article>
  );
}

function Agent({ server }: { server: Server }) {
  const text = words.server;
  const { limits } = server;
  const memory = limits.command_memory_bytes;
  return (
    <article class="card">
      <h2>{text.agent}</h2>
      <dl class="facts tight">
        <Fact name={text.version}>{visibleLine(server.version)}</Fact>
        <Fact name={text.user}>{visibleLine(server.user)}</Fact>
        <Fact name={text.started}>{describeMoment(server.started_at)}</Fact>
        <Fact name={text.ownMemory}>{describeBytes(server.agent_bytes)}</Fact>
      </dl>
      <h3>{text.limits}</h3>
      <dl class="facts tight">
        <Fact name={text.running}>{limits.running}</Fact>
        <Fact name={text.longest}>{describeSpan(limits.background_seconds * 1000)}</Fact>
        <Fact name={text.sessions}>{describeBytes(limits.sessions_bytes)}</Fact>
        <Fact name={text.commandMemory}>{memory === null ? text.usual : describeBytes(memory)}</Fact>
      </dl>
    </article>
  );
}

function Doctor({ note, version }: { note: DoctorNote | null; version: string }) {
  const text = words.server;
  const now = useNow();
  if (note === null)
    return (
      <article class="card">
        <h2>{text.doctor}</h2>
        <p>{text.doctorNever}</p>
        <p>
          <code class="shell">{text.doctorCommand}</code>
        </p>
      </article>
    );
  const wrong = note.findings.filter(({ ok }) => !ok);
  return (
    <article class="card">
      <h2>{text.doctor}</h2>
      <p class="muted">
        {text.doctorRan(words.time.ago(describeSpan(now - note.at)))}
        {note.version !== version && ` ${text.doctorOther(visibleLine(note.version))}`}
      </p>
      <p>{wrong.length === 0 ? text.fine(note.findings.length) : text.wrong(wrong.length)}</p>
      <Findings findings={wrong} />
      <details>
        <summary>{text.all}</summary>
        <Findings findings={note.findings} />
      </details>
    </article>
  );
}

function Findings({ findings }: { findings: DoctorNote['findings'] }) {
  if (findings.length === 0) return null;
  return (
    <ul class="findings">
      {findings.map(({ check, ok, found, advice }) => (
        <li key={check}>
          <strong>{`${ok ? '✓' : '✗'} ${visibleLine(check)}`}</strong> {visibleText(found)}
          {advice !== undefined && (
            <>
              <br />
              <code>{visibleText(advice)}</code>
            </>
          )}
        </li>
      ))}
    </ul>
  );
}
