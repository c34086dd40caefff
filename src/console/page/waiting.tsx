import { useState } from 'preact/hooks';
import type { WaitingRequest } from '../shown.ts';
import { AllowancesList, allowWish } from './allowances.tsx';
import { DenyForm, useDenying } from './deny.tsx';
import { KeptHeading, useDesk, useScreen } from './parts.tsx';
import { type Progress, RequestCard } from './request.tsx';
import { order } from './sign.ts';
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

/** A value for each session. */
function useBySession<Value>() {
  const [values, setValues] = useState<ReadonlyMap<string, Value>>(new Map());
  const set = (session: string, value: Value): void => setValues((old) => new Map(old).set(session, value));
  return [values, set] as const;
}

/** What waits for the person. */
export function WaitingView() {
  const desk = useDesk();
  const { state, person } = useScreen();
  const [progress, setProgress] = useBySession<Progress>();
  const [status, setStatus] = useBySession<Status>();
  const [ticks, setTick] = useBySession<boolean>();
  const [last, setLast] = useState<{ readonly number: number; readonly isApproved: boolean }>();
  const waiting = state?.waiting ?? [];
  const selected = waiting.filter(({ session }) => ticks.get(session) === true);
  const mayApprove = person?.passkey === true;

  const decide = async ({ session, number }: WaitingRequest, verdict: Verdict): Promise<void> => {
    const read = progress.get(session)?.read;
    if (read === undefined) return;
    const { request, digest } = read;
    const wish =
      verdict.kind === 'allow'
        ? allowWish(request, digest, verdict.minutes, desk.now())
        : { ...verdict, session, digest };
    if (wish === undefined) return;
    const isDenied = verdict.kind === 'deny';
    const busy = isDenied ? words.request.sending : words.request.signing;
    setStatus(session, { busy, fault: undefined });
    const fault = await order(wish, desk.now());
    setStatus(session, { busy: undefined, fault });
    if (fault === undefined) setLast({ number, isApproved: !isDenied });
  };
  // A device shows one question for a passkey at a time.
  const decideAll = async (verdict: Verdict): Promise<void> => {
    for (const item of selected) await decide(item, verdict);
  };

  return (
    <section>
      <KeptHeading
        level={1}
        count={waiting.length}
        text={waiting.length === 0 ? words.views.waitingEmpty : words.views.waitingCount(waiting.length)}
      />
      <p class="decided" role="status" hidden={last === undefined}>
        {last !== undefined && words.views.decided(last.number, last.isApproved)}{' '}
        {last?.isApproved && <a href="#now">{words.views.seeOutput}</a>}
      </p>
      <AllowancesList />
      {waiting.length === 0 && <p class="empty">{words.views.waitingEmptyText}</p>}
      {waiting.map((item) => (
        <RequestCard
          key={item.session}
          item={item}
          mayApprove={mayApprove}
          isSelected={ticks.get(item.session) === true}
          status={status.get(item.session) ?? IDLE}
          onSelect={(isSelected) => setTick(item.session, isSelected)}
          onProgress={(now) => setProgress(item.session, now)}
          onApprove={() => void decide(item, { kind: 'approve' })}
          onAllow={(minutes) => void decide(item, { kind: 'allow', minutes })}
          onDeny={(why) => void decide(item, { kind: 'deny', why })}
        />
      ))}
      {selected.length > 0 && (
        <Selection
          count={selected.length}
          mayApprove={mayApprove && selected.every(({ session }) => isRead(progress.get(session)))}
          isUnread={mayApprove && !selected.every(({ session }) => isRead(progress.get(session)))}
          isBusy={selected.some(({ session }) => status.get(session)?.busy !== undefined)}
          onApprove={() => void decideAll({ kind: 'approve' })}
          onDeny={(why) => void decideAll({ kind: 'deny', why })}
        />
      )}
    </section>
  );
}

function isRead(progress: Progress | undefined): boolean {
  return progress?.read !== undefined && progress.unread.length === 0;
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
        {views.selected(count)}. {isUnread ? views.selectedUnread : count > 1 ? views.signatures : ''}
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
