import { useCallback, useMemo, useState } from 'preact/hooks';
import { foldNames } from '../../lib/fold-names.ts';
import { visibleLine } from '../../lib/visible.ts';
import type { CanaryGroup, WaitingPlan } from '../shown.ts';
import { DenyForm, useDenying } from './deny.tsx';
import { Fact, Fault, useDesk, useOrder, useRead, useScreen } from './parts.tsx';
import type { ReadPlan } from './read-plan.ts';
import { Notes, notesOnTexts } from './request.tsx';
import { isLong, TextBlock } from './text.tsx';
import { words } from './words.ts';

/** The plans that wait for one approval each. */
export function PlanCards() {
  const { state, person } = useScreen();
  return (
    <>
      {(state?.plans ?? []).map((item) => (
        <PlanCard key={item.run} item={item} mayApprove={person?.passkey === true} />
      ))}
    </>
  );
}

function PlanCard({ item, mayApprove }: { item: WaitingPlan; mayApprove: boolean }) {
  const read = usePlan(item.run);
  const [done, setDone] = useState<ReadonlySet<string>>(new Set());
  const texts = useMemo(() => (read === undefined ? [] : textsOf(read)), [read]);
  const unread = texts.filter(({ name, text }) => isLong(text) && !done.has(name)).map(({ name }) => name);
  const markRead = useCallback((name: string) => setDone((names) => new Set([...names, name])), []);
  const isOther = read !== undefined && read.digest !== item.plan;
  const count = read?.plan.servers.length ?? item.count;
  const title = `plan-${item.run}`;
  return (
    <article class="card" aria-labelledby={title}>
      <header>
        <h2 id={title}>{words.plan.title(count)}</h2>
      </header>
      {read === undefined && <p class="muted">{words.loading}</p>}
      {read !== undefined && !isOther && <Body item={item} read={read} texts={texts} onRead={markRead} />}
      <Fault text={isOther ? words.plan.other : undefined} />
      <Decision
        item={item}
        count={count}
        unread={unread}
        mayApprove={mayApprove && read !== undefined && !isOther && item.decided === null}
      />
    </article>
  );
}

function usePlan(run: string): ReadPlan | undefined {
  const desk = useDesk();
  return useRead(useCallback(() => desk.plan(run), [desk, run])).read;
}

interface Text {
  readonly name: string;
  readonly text: string;
}

/** All that would run: each argument that is a text, whatever its name. */
function textsOf({ plan: { args } }: ReadPlan): Text[] {
  const { cmd, stdin, ...others } = args;
  const rest = Object.entries(others).map(([name, value]) => ({
    name: words.plan.argument(visibleLine(name)),
    text: typeof value === 'string' ? value : JSON.stringify(value),
  }));
  return [
    { name: words.request.command, text: String(cmd) },
    ...(stdin === undefined ? [] : [{ name: words.request.input, text: String(stdin) }]),
    ...rest,
  ];
}

interface BodyProps {
  readonly item: WaitingPlan;
  readonly read: ReadPlan;
  readonly texts: readonly Text[];
  readonly onRead: (name: string) => void;
}

function Body({ item, read: { plan, canary }, texts, onRead }: BodyProps) {
  const notes = useMemo(() => notesOnTexts(texts.map(({ text }) => text)), [texts]);
  const text = words.plan;
  const names = foldNames(plan.servers.map(({ name }) => visibleLine(name))).join(', ');
  const isPart = item.waiting.join() !== foldNames(plan.servers.map(({ name }) => name)).join();
  return (
    <>
      {texts.map((one) => (
        <TextBlock key={one.name} {...one} onRead={() => onRead(one.name)} />
      ))}
      <Notes notes={notes} />
      <dl class="facts">
        <Fact name={text.servers}>{names}</Fact>
        <Fact name={text.waiting}>{item.waiting.map(visibleLine).join(', ')}</Fact>
        <Fact name={words.request.by}>{visibleLine(plan.principal)}</Fact>
      </dl>
      {isPart && <p class="muted">{text.others}</p>}
      <Canary groups={canary} />
      {item.refused.length > 0 && (
        <div class="note">
          <strong>{text.refused}</strong>
          <ul>
            {item.refused.map(({ server, why }) => (
              <li key={server}>{visibleLine(`${server}: ${why}`)}</li>
            ))}
          </ul>
        </div>
      )}
    </>
  );
}

/** What the first servers wrote, in boxes of its own: a server that was taken over writes what it likes. */
function Canary({ groups }: { groups: readonly CanaryGroup[] }) {
  const text = words.plan;
  if (groups.length === 0) return <p class="muted">{text.canaryNone}</p>;
  return (
    <section class="foreign" aria-label={text.canary}>
      <h3>{text.canary}</h3>
      <p class="note">{text.canaryNote}</p>
      {groups.map((group, at) => (
        <CanaryBox key={at} group={group} />
      ))}
    </section>
  );
}

function CanaryBox({ group }: { group: CanaryGroup }) {
  const { servers, exit_code, status = 'done', stdout, stderr, diff, omitted_chars } = group;
  const text = words.plan;
  const names = servers.map(visibleLine).join(', ');
  const read = (): void => {};
  return (
    <>
      <p>{`${names}: ${text.ended(visibleLine(status), String(exit_code))}`}</p>
      {stdout && <TextBlock name={text.output(names)} text={stdout} onRead={read} />}
      {diff && <TextBlock name={text.difference(names)} text={diff} isDiff onRead={read} />}
      {stderr && <TextBlock name={text.errors(names)} text={stderr} onRead={read} />}
      {omitted_chars !== undefined && <p class="muted">{text.notShown(words.characters(omitted_chars))}</p>}
    </>
  );
}

interface DecisionProps {
  readonly item: WaitingPlan;
  readonly count: number;
  readonly unread: readonly string[];
  readonly mayApprove: boolean;
}

function Decision({ item: { run, plan, decided }, count, unread, mayApprove }: DecisionProps) {
  const { isBusy, fault, send } = useOrder();
  const { isDenying, setDenying, button } = useDenying();
  const text = words.plan;
  return (
    <footer>
      {decided !== null && <p role="status">{decided === 'approve' ? text.approved : text.denied}</p>}
      {mayApprove && unread.length > 0 && <p class="muted">{words.request.readFirst(unread.join(', '))}</p>}
      {isBusy && <p role="status">{isDenying ? words.request.sending : words.request.signing}</p>}
      <Fault text={fault} />
      {isDenying ? (
        <DenyForm
          isBusy={isBusy}
          onDeny={(why) => void send({ kind: 'deny-plan', run, plan, why })}
          onCancel={() => setDenying(false)}
        />
      ) : (
        <div class="actions">
          <button
            type="button"
            class="primary"
            aria-label={text.approveLabel(count)}
            disabled={!mayApprove || unread.length > 0 || isBusy}
            onClick={() => void send({ kind: 'approve-plan', run, plan })}
          >
            {text.approve}
          </button>
          <button
            type="button"
            ref={button}
            aria-label={text.denyLabel(count)}
            disabled={isBusy || decided === 'deny'}
            onClick={() => setDenying(true)}
          >
            {text.deny}
          </button>
        </div>
      )}
    </footer>
  );
}
