import { useState } from 'preact/hooks';
import { visibleLine } from '../../lib/visible.ts';
import type { EndedCommand, RunningCommand } from '../shown.ts';
import { commandLine, describeBytes, describeDuration, describeSpan } from './format.ts';
import { Output } from './output.tsx';
import { Fact, Fault, KeptHeading, TwoTap, useNow, useOrder, useScreen } from './parts.tsx';
import { TakeOver } from './take-over.tsx';
import { words } from './words.ts';

/** What runs, and what ended last. */
export function NowView() {
  const { state } = useScreen();
  const { isBusy, fault, send } = useOrder();
  const { running = [], ended = [] } = state ?? {};
  const { views } = words;
  return (
    <>
      <section>
        <div class="title">
          <KeptHeading
            level={1}
            count={running.length}
            text={running.length === 0 ? views.runningNone : views.running}
          />
          {running.length > 0 && (
            <TwoTap
              text={views.stopAll}
              label={views.stopAll}
              confirm={views.stopAllConfirm}
              confirmLabel={views.stopAllConfirm}
              disabled={isBusy}
              onConfirm={() => void send({ kind: 'stop-all' })}
            />
          )}
        </div>
        <Fault text={fault} />
        {running.length === 0 && <p class="empty">{views.runningNoneText}</p>}
        {running.map((one) => (
          <RunningCard key={one.session} one={one} />
        ))}
      </section>
      <section>
        <h2>{views.ended}</h2>
        {ended.length === 0 && <p class="empty">{views.endedNone}</p>}
        <ul class="list">
          {ended.map((one) => (
            <EndedItem key={one.session} one={one} />
          ))}
        </ul>
      </section>
    </>
  );
}

function statusText(status: string): string {
  return words.status[status] ?? status;
}

function RunningCard({ one }: { one: RunningCommand }) {
  const { isBusy, fault, send } = useOrder();
  const now = useNow();
  const frozen = useScreen().state?.frozen;
  const [isShown, setShown] = useState(false);
  const { views } = words;
  const command = commandLine(one.cmd);
  const status = frozen == null ? one.status : 'frozen';
  return (
    <article class="card">
      <h2 class={isShown ? 'command whole' : 'command'}>
        <code>{command}</code>
      </h2>
      <dl class="facts tight">
        <Fact name={views.by}>{visibleLine(one.token)}</Fact>
        <Fact name={views.since}>{describeSpan((frozen?.since ?? now) - one.started_at)}</Fact>
        {one.cpu_ms !== null && <Fact name={views.cpu}>{describeDuration(one.cpu_ms)}</Fact>}
        {one.memory_bytes !== null && <Fact name={views.memory}>{describeBytes(one.memory_bytes)}</Fact>}
        <Fact name={views.output}>{describeBytes(one.stdout_bytes + one.stderr_bytes)}</Fact>
      </dl>
      <p class="tags">
        <span class={`tag ${status}`}>{statusText(status)}</span>
        {one.terminal && <span class="tag">{views.terminal}</span>}
        {one.background && <span class="tag">{views.background}</span>}
      </p>
      {isShown && (one.terminal ? <TakeOver one={one} /> : <Output session={one.session} name={command} />)}
      <Fault text={fault} />
      <div class="actions">
        <button type="button" aria-expanded={isShown} onClick={() => setShown(!isShown)}>
          {isShown ? views.hide : views.output}
        </button>
        <TwoTap
          text={views.stop}
          label={views.stopLabel(command)}
          confirm={views.stopConfirm}
          confirmLabel={views.stopConfirmLabel(command)}
          disabled={isBusy}
          onConfirm={() => void send({ kind: 'stop', session: one.session })}
        />
      </div>
    </article>
  );
}

function EndedItem({ one }: { one: EndedCommand }) {
  const now = useNow();
  const [isShown, setShown] = useState(false);
  const { views, time } = words;
  const command = commandLine(one.cmd);
  const isGood = one.status === 'done' && one.exit_code === 0;
  return (
    <li>
      <div class="line">
        <div>
          <code class={isShown ? 'command whole' : 'command'}>{command}</code>
          <p class="muted">
            <span class={isGood ? 'tag good' : 'tag bad'}>
              {one.status === 'done' && one.exit_code !== null ? views.exit(one.exit_code) : statusText(one.status)}
            </span>{' '}
            {time.after(describeDuration(one.duration_ms))} · {time.ago(describeSpan(now - one.ended_at))} ·{' '}
            {visibleLine(one.token)}
          </p>
        </div>
        <button
          type="button"
          class="quiet"
          aria-expanded={isShown}
          aria-label={views.outputOf(command)}
          onClick={() => setShown(!isShown)}
        >
          {isShown ? views.hide : views.output}
        </button>
      </div>
      {isShown && <Output session={one.session} name={command} />}
    </li>
  );
}
