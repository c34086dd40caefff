import { useState } from 'preact/hooks';
import { AllowancesList, allowWish } from './allowances.tsx';
import { DenyForm, useDenying } from './deny.tsx';
import type { ReadRequest } from './desk.ts';
import { FleetList } from './fleet.tsx';
import { KeptHeading, useDesk, useScreen } from './parts.tsx';
import { PlanCards } from './plan.tsx';
import { type Progress, RequestCard } from './request.tsx';
import { placed, signedFor, type WaitingItem, waitingItems } from './servers.ts';
import { approveAll, order, type Wish } from './sign.ts';
import { words } from './words.ts';

interface Status {
  readonly busy: string | undefined;
  readonly fault: string | undefined;
}

const IDLE: Status = { busy: undefined, fault: undefined };
type Verdict =
  | { readonly kind: 'approve' }
  | { readonly kind: 'allow'; readonly minutes: number }
  | { readonly kind: 'deny'; readonly why: string };

/** What was decided last: of several requests at once, one of them and their number. */
interface Last {
  readonly item: WaitingItem;
  readonly isApproved: boolean;
  readonly count: number;
}

/** A value for each request. */
function useById<Value>() {
  const [values, setValues] = useState<ReadonlyMap<string, Value>>(new Map());
  const set = (id: string, value: Value): void => setValues((old) => new Map(old).set(id, value));
  return [values, set] as const;
}

/** What waits for the person. */
export function WaitingView() {
  const desk = useDesk();
  const screen = useScreen();
  const [progress, setProgress] = useById<Progress>();
  const [status, setStatus] = useById<Status>();
  const [ticks, setTick] = useById<boolean>();
  const [last, setLast] = useState<Last>();
  const waiting = waitingItems(screen);
  const count = waiting.length + (screen.state?.plans.length ?? 0);
  const selected = waiting.filter(({ id }) => ticks.get(id) === true);
  const mayApprove = screen.person?.passkey === true;

  const decide = async (item: WaitingItem, verdict: Verdict, count = 1): Promise<boolean> => {
    const read = progress.get(item.id)?.read;
    const wish = read && wishOf(item, read, verdict, desk.now());
    if (wish === undefined) return false;
    const isDenied = verdict.kind === 'deny';
    const busy = isDenied ? words.request.sending : words.request.signing;
    setStatus(item.id, { busy, fault: undefined });
    const fault = await order(wish, desk.now());
    setStatus(item.id, { busy: undefined, fault });
    if (fault === undefined) setLast({ item, isApproved: !isDenied, count });
    return fault === undefined;
  };
  const denyAll = async (why: string): Promise<void> => {
    let count = 1;
    for (const item of selected) if (await decide(item, { kind: 'deny', why }, count)) count++;
  };
  const approveSelected = async (): Promise<void> => {
    const all = selected.flatMap((item) => {
      const read = progress.get(item.id)?.read;
      const wish = read && wishOf(item, read, { kind: 'approve' }, desk.now());
      return wish?.kind === 'approve' ? [{ item, wish }] : [];
    });
    for (const { item } of all) setStatus(item.id, { busy: words.request.signing, fault: undefined });
    const faults = await approveAll(
      all.map(({ wish }) => wish),
      () => desk.now(),
    );
    for (const [at, { item }] of all.entries()) setStatus(item.id, { busy: undefined, fault: faults[at] });
    const done = all.filter((_, at) => faults[at] === undefined);
    if (done[0] !== undefined) setLast({ item: done[0].item, isApproved: true, count: done.length });
  };

  return (
    <section>
      <KeptHeading
        level={1}
        count={count}
        text={count === 0 ? words.views.waitingEmpty : words.views.waitingCount(count)}
      />
      <p class="decided" role="status" hidden={last === undefined}>
        {last !== undefined && describeLast(last)}{' '}
        {last?.isApproved && last.item.server === undefined && <a href="#now">{words.views.seeOutput(last.count)}</a>}
      </p>
      <AllowancesList />
      {count === 0 && <p class="empty">{words.views.waitingEmptyText}</p>}
      <PlanCards />
      {waiting.map((item) => (
        <RequestCard
          key={item.id}
          item={item}
          mayApprove={mayApprove}
          isSelected={ticks.get(item.id) === true}
          status={status.get(item.id) ?? IDLE}
          onSelect={(isSelected) => setTick(item.id, isSelected)}
          onProgress={(now) => setProgress(item.id, now)}
          onApprove={() => void decide(item, { kind: 'approve' })}
          onAllow={(minutes) => void decide(item, { kind: 'allow', minutes })}
          onDeny={(why) => void decide(item, { kind: 'deny', why })}
        />
      ))}
      {selected.length > 0 && (
        <Selection
          count={selected.length}
          mayApprove={mayApprove && selected.every(({ id }) => isRead(progress.get(id)))}
          isUnread={mayApprove && !selected.every(({ id }) => isRead(progress.get(id)))}
          isBusy={selected.some(({ id }) => status.get(id)?.busy !== undefined)}
          onApprove={() => void approveSelected()}
          onDeny={(why) => void denyAll(why)}
        />
      )}
      <FleetList />
    </section>
  );
}

function describeLast({ item, isApproved, count }: Last): string {
  if (count > 1) return words.views.decidedSeveral(count, isApproved);
  return placed(item.place, words.views.decided(item.number, isApproved));
}

/** Returns the order for a verdict; undefined when the request does not offer it. */
function wishOf(item: WaitingItem, { request, digest }: ReadRequest, verdict: Verdict, now: number): Wish | undefined {
  const { session, server } = item;
  const wish =
    verdict.kind === 'allow'
      ? allowWish(request, digest, verdict.minutes, { now, server })
      : { ...verdict, session, digest };
  return wish && server !== undefined ? { ...wish, ...signedFor(server) } : wish;
}

function isRead(progress: Progress | undefined): boolean {
  return progress?.read !== undefined && progress.unread.length === 0 && !progress.isForeign;
}

interface SelectionProps {
  readonly count: number;
  readonly mayApprove: boolean;
  readonly isUnread: boolean;
  readonly isBusy: boolean;
  readonly onApprove: () => void;
  readonly onDeny: (why: string) => void;
}

/** Decides on all that are ticked. */
function Selection({ count, mayApprove, isUnread, isBusy, onApprove, onDeny }: SelectionProps) {
  const { isDenying, setDenying, button } = useDenying();
  const { views } = words;
  return (
    <div class="selection" role="group" aria-label={views.selected(count)}>
      <p role="status">
        {views.selected(count)}. {isUnread ? views.selectedUnread : ''}
      </p>
      {isDenying ? (
        <DenyForm isBusy={isBusy} onDeny={onDeny} onCancel={() => setDenying(false)} />
      ) : (
        <div class="actions">
          <button type="button" class="primary" disabled={!mayApprove || isBusy} onClick={onApprove}>
            {views.approveSelected(count)}
          </button>
          <button type="button" ref={button} disabled={isBusy} onClick={() => setDenying(true)}>
            {views.denySelected(count)}
          </button>
        </div>
      )}
    </div>
  );
}
