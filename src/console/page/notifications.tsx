import { useEffect, useState } from 'preact/hooks';
import { PUSH_EVENTS, type PushEvent } from '../push/message.ts';
import { ApiError, describeFailure } from './api.ts';
import { type NotifyState, notify, notifyState, type PushTried, stopNotifying, tryNotification } from './notify.ts';
import { Fault, useStepFocus } from './parts.tsx';
import { words } from './words.ts';

/** The view of this device's notifications. */
export function NotificationsView() {
  const { state, isBusy, fault, act } = useNotifying();
  const text = words.push;
  useStepFocus(state?.events === undefined);
  return (
    <section class="entry">
      <h1>{text.title}</h1>
      <p class="lead">{text.lead}</p>
      <Fault text={fault} />
      {state === undefined ? (
        fault === undefined && <p class="muted">{words.loading}</p>
      ) : state.obstacle !== undefined ? (
        <p role="status">{text.obstacle[state.obstacle]}</p>
      ) : state.events === undefined ? (
        <>
          <p role="status">{text.off}</p>
          <button type="button" class="primary wide" disabled={isBusy} onClick={() => act(() => notify())}>
            {isBusy ? text.busy : text.turnOn}
          </button>
        </>
      ) : (
        <Switches events={state.events} isBusy={isBusy} act={act} />
      )}
    </section>
  );
}

type Act = (work: () => Promise<void>) => void;

/** The state of notifications, read again after each change. */
function useNotifying() {
  const [state, setState] = useState<NotifyState>();
  const [isBusy, setBusy] = useState(false);
  const [fault, setFault] = useState<string>();
  const act = async (work: () => Promise<void>): Promise<void> => {
    setBusy(true);
    setFault(undefined);
    try {
      await work();
    } catch (error) {
      setFault(describeFault(error));
    }
    await notifyState().then(setState, (error) => setFault(describeFault(error)));
    setBusy(false);
  };
  useEffect(() => void act(async () => {}), []);
  return { state, isBusy, fault, act: (work: () => Promise<void>) => void act(work) };
}

function describeFault(error: unknown): string {
  if (error instanceof ApiError) return describeFailure(error);
  return words.push.failed(error instanceof Error ? error.message : String(error));
}

function Switches({ events, isBusy, act }: { events: readonly PushEvent[]; isBusy: boolean; act: Act }) {
  const text = words.push;
  const [tried, setTried] = useState<PushTried>();
  const change = (event: PushEvent): void => {
    const next = PUSH_EVENTS.filter((one) => (one === event) !== events.includes(one));
    act(() => notify(next));
  };
  return (
    <>
      <fieldset class="switches" disabled={isBusy}>
        <legend>{text.choose}</legend>
        {PUSH_EVENTS.map((event) => (
          <label key={event}>
            <input type="checkbox" checked={events.includes(event)} onChange={() => change(event)} />
            <span>{text.events[event]}</span>
          </label>
        ))}
      </fieldset>
      <button type="button" class="wide" disabled={isBusy} onClick={() => act(() => tryNotification().then(setTried))}>
        {text.sendTest}
      </button>
      <p role="status">{tried !== undefined && describeTried(tried)}</p>
      <button type="button" class="quiet wide" disabled={isBusy} onClick={() => act(stopNotifying)}>
        {text.turnOff}
      </button>
    </>
  );
}

function describeTried({ state, why = '' }: PushTried): string {
  const { tried } = words.push;
  return state === 'failed' ? tried.failed(why) : tried[state];
}
