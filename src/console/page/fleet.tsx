import { useState } from 'preact/hooks';
import { visibleLine } from '../../lib/visible.ts';
import type { ServersCommand, ShownServer } from '../shown-servers.ts';
import { commandLine, describeMoment, describeSpan, sentence } from './format.ts';
import { Fault, TwoTap, useNow, useOrder, useScreen } from './parts.tsx';
import { ServerOutput } from './server-output.tsx';
import { placed, signedFor } from './servers.ts';
import type { Wish } from './sign.ts';
import { words } from './words.ts';

/** The hub and each of its servers: who is there, what runs and waits; nothing where there is no fleet. */
export function FleetList() {
  const { state, fleet } = useScreen();
  if (state?.hub === undefined) return null;
  return (
    <section aria-label={words.fleet.title}>
      <h2>{words.fleet.title}</h2>
      <div class="servers">
        <HubCard />
        {fleet?.servers.map((server) => (
          <ServerCard key={server.key} server={server} />
        ))}
      </div>
      {fleet === undefined && <p class="muted">{words.loading}</p>}
      {fleet !== undefined && fleet.more > 0 && <p class="muted">{words.fleet.moreServers(fleet.more)}</p>}
    </section>
  );
}

function Counts({ running, waiting }: { running: number; waiting: number }) {
  return (
    <p class="muted">
      {words.fleet.runs(running)}
      {waiting > 0 && ` · ${words.fleet.waits(waiting)}`}
    </p>
  );
}

function HubCard() {
  const { state } = useScreen();
  const { running = [], waiting = [], hub = '', frozen } = state ?? {};
  const [newest] = running.slice(-1);
  return (
    <article class="card">
      <header>
        <h3>
          <span class="place">{visibleLine(hub)}</span>
        </h3>
        <p class="tags">
          <span class="tag">{words.fleet.hub}</span>
          {frozen != null && <span class="tag frozen">{words.status['frozen']}</span>}
        </p>
      </header>
      <Counts running={running.length} waiting={waiting.length} />
      {newest !== undefined && (
        <p>
          <a href="#now">
            <code class="command">{commandLine(newest.cmd)}</code>
          </a>
        </p>
      )}
    </article>
  );
}

function ServerCard({ server }: { server: ShownServer }) {
  const { name, labels, state, is_frozen, running, waiting, more_running, more_waiting, fault } = server;
  const isConnected = state === 'connected';
  return (
    <article class="card">
      <header>
        <h3>
          <span class="place">{visibleLine(name)}</span>
        </h3>
        <p class="tags">
          <span class={isConnected ? 'tag good' : 'tag bad'}>
            {isConnected ? words.fleet.connected : words.fleet.unreachable}
          </span>
          {is_frozen && <span class="tag frozen">{words.status['frozen']}</span>}
          {Object.entries(labels).map(([label, value]) => (
            <span key={label} class="tag">
              {visibleLine(`${label}=${value}`)}
            </span>
          ))}
        </p>
      </header>
      {!isConnected && <LastSeen at={server.last_seen_at} />}
      {isConnected && fault === '' && <p class="muted">{words.fleet.asking}</p>}
      {isConnected && fault !== null && fault !== '' && <p class="fault">{words.fleet.fault(visibleLine(fault))}</p>}
      {isConnected && fault !== '' && (
        <Counts running={running.length + more_running} waiting={waiting.length + more_waiting} />
      )}
      {running.map((one) => (
        <ServersRunning key={one.session} server={server} one={one} />
      ))}
      {more_running + more_waiting > 0 && <p class="muted">{words.fleet.more(more_running + more_waiting)}</p>}
      <ServersEnded server={server} />
      <Control server={server} />
    </article>
  );
}

function LastSeen({ at }: { at: number | null }) {
  const now = useNow();
  const seen =
    at === null ? words.fleet.neverSeen : words.fleet.lastSeen(words.time.ago(describeSpan(Math.max(0, now - at))));
  return (
    <p class="muted">
      {seen} {words.fleet.continues}
    </p>
  );
}

/** A thaw ends the freeze that was shown, and none that came since. */
function thawWish(server: ShownServer, { since, again }: NonNullable<ShownServer['frozen']>): Wish {
  return { kind: 'thaw', since, ...signedFor(server), ...(again !== undefined && { again }) };
}

/** Freezes or thaws one server. */
function Control({ server }: { server: ShownServer }) {
  const { person } = useScreen();
  const { isBusy, fault, send } = useOrder();
  const { key, is_frozen, frozen } = server;
  const text = words.fleet;
  const name = visibleLine(server.name);
  return (
    <>
      {frozen !== null && (
        <p>
          {text.frozen(describeMoment(frozen.since), visibleLine(frozen.by), sentence(visibleLine(frozen.reason)))}{' '}
          {frozen.by_signals && words.freeze.bySignals}
        </p>
      )}
      <Fault text={fault} />
      <div class="actions">
        {!is_frozen && (
          <TwoTap
            text={text.freeze}
            label={text.freezeLabel(name)}
            confirm={text.freezeConfirm}
            confirmLabel={text.freezeConfirmLabel(name)}
            disabled={isBusy}
            onConfirm={() => void send({ kind: 'freeze', reason: '', server: key })}
          />
        )}
        {frozen !== null && person?.passkey === true && (
          <button
            type="button"
            aria-label={text.thawLabel(name)}
            disabled={isBusy}
            onClick={() => void send(thawWish(server, frozen))}
          >
            {isBusy ? words.request.signing : words.freeze.thaw}
          </button>
        )}
      </div>
    </>
  );
}

/** What ended last on a server, with its output. */
function ServersEnded({ server: { name, key, ended } }: { server: ShownServer }) {
  const now = useNow();
  const { views, time } = words;
  if (ended.length === 0) return null;
  return (
    <details>
      <summary>{views.ended}</summary>
      {ended.map(({ session, cmd, status, exit_code, ended_at }) => {
        const command = commandLine(cmd);
        const isDone = status === 'done' && exit_code !== null;
        return (
          <div key={session} class="running">
            <code class="command">{command}</code>
            <p class="muted">
              <span class={isDone && exit_code === 0 ? 'tag good' : 'tag bad'}>
                {isDone ? views.exit(exit_code) : visibleLine(words.status[status] ?? status)}
              </span>{' '}
              {time.ago(describeSpan(Math.max(0, now - ended_at)))}
            </p>
            <OutputButton server={key} session={session} name={placed(visibleLine(name), command)} />
          </div>
        );
      })}
    </details>
  );
}

function OutputButton({ server, session, name }: { server: string; session: string; name: string }) {
  const [isShown, setShown] = useState(false);
  const { views } = words;
  return (
    <>
      {isShown && <ServerOutput server={server} session={session} name={name} sizes={FROM_START} />}
      <div class="actions">
        <button
          type="button"
          class="quiet"
          aria-expanded={isShown}
          aria-label={views.outputOf(name)}
          onClick={() => setShown(!isShown)}
        >
          {isShown ? views.hide : views.output}
        </button>
      </div>
    </>
  );
}

const FROM_START = { stdout: 0, stderr: 0 };

function ServersRunning({ server, one }: { server: ShownServer; one: ServersCommand }) {
  const { isBusy, fault, send } = useOrder();
  const now = useNow();
  const [isShown, setShown] = useState(false);
  const { views } = words;
  const command = commandLine(one.cmd);
  const name = placed(visibleLine(server.name), command);
  return (
    <div class="running">
      <code class={isShown ? 'command whole' : 'command'}>{command}</code>
      <p class="muted">
        {visibleLine(one.token)} · {describeSpan(Math.max(0, (server.frozen?.since ?? now) - one.started_at))}
      </p>
      {isShown && (
        <ServerOutput
          server={server.key}
          session={one.session}
          name={name}
          sizes={{ stdout: one.stdout_bytes, stderr: one.stderr_bytes }}
        />
      )}
      <Fault text={fault} />
      <div class="actions">
        <button
          type="button"
          aria-expanded={isShown}
          aria-label={views.outputOf(name)}
          onClick={() => setShown(!isShown)}
        >
          {isShown ? views.hide : views.output}
        </button>
        <TwoTap
          text={views.stop}
          label={views.stopLabel(name)}
          confirm={views.stopConfirm}
          confirmLabel={views.stopConfirmLabel(name)}
          disabled={isBusy}
          onConfirm={() => void send({ kind: 'stop', session: one.session, server: server.key })}
        />
      </div>
    </div>
  );
}
