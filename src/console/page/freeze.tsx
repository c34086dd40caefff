import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { visibleLine } from '../../lib/visible.ts';
import type { Screen } from './desk.ts';
import { describeMoment, sentence } from './format.ts';
import { Fault, type PlacedWish, useOrder, useScreen } from './parts.tsx';
import { placed, recallServers } from './servers.ts';
import { words } from './words.ts';

type StopAllWish = { readonly kind: 'stop-all' };
type FreezeWish = { readonly kind: 'freeze'; readonly reason: string };

const MAX_REASON_CHARS = 500;

/** The button on every view while nothing is frozen, and its question. */
export function FreezeButton() {
  const [isOpen, setOpen] = useState(false);
  return (
    <>
      <button type="button" class="danger freeze" aria-label={words.freeze.button} onClick={() => setOpen(true)}>
        <span aria-hidden="true">❚❚</span> {words.freeze.button}
      </button>
      {isOpen && <FreezeDialog onClose={() => setOpen(false)} />}
    </>
  );
}

/** The same order to this server and to each of its fleet that is not frozen; to all while nothing new is heard of them. */
function toAll({ state, fleet, connection }: Screen, wish: StopAllWish | FreezeWish): PlacedWish[] {
  const isNew = connection === 'ok';
  const own: PlacedWish = { place: state?.hub && visibleLine(state.hub), wish };
  const servers = fleet?.servers.filter(({ is_frozen }) => !(isNew && is_frozen)) ?? recallServers();
  const others = servers.map(({ name, key }) => ({ place: visibleLine(name), wish: { ...wish, server: key } }));
  return [...(isNew && state?.frozen != null ? [] : [own]), ...others];
}

function FreezeDialog({ onClose }: { onClose: () => void }) {
  const { isBusy, fault, send, sendAll } = useOrder();
  const screen = useScreen();
  const { state, fleet } = screen;
  const [reason, setReason] = useState('');
  const dialog = useRef<HTMLDialogElement>(null);
  const first = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => {
    dialog.current?.showModal();
    first.current?.focus();
  }, []);
  const close = (): void => dialog.current?.close();
  const { freeze, fleet: text } = words;
  const servers = (fleet?.servers ?? recallServers()).length;
  const act = (sent: Promise<boolean>): void => void sent.then((isDone) => isDone && close());
  return (
    <dialog ref={dialog} aria-labelledby="freeze-title" onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          act(sendAll(toAll(screen, { kind: 'freeze', reason: reason.trim() })));
        }}
      >
        <h2 id="freeze-title">{servers === 0 ? freeze.title : text.freezeTitle}</h2>
        <p>{servers === 0 ? freeze.text : text.freezeText(servers)}</p>
        <label>
          {freeze.reason}
          <input
            type="text"
            value={reason}
            ref={first}
            maxLength={MAX_REASON_CHARS}
            onInput={(event) => setReason(event.currentTarget.value)}
          />
        </label>
        <Fault text={fault} />
        {isBusy && <p role="status">{freeze.busy}</p>}
        <div class="actions">
          <button type="submit" class="danger" disabled={isBusy}>
            {servers === 0 ? freeze.now : text.freezeAll}
          </button>
          {servers > 0 && state?.frozen == null && (
            <button
              type="button"
              disabled={isBusy}
              onClick={() => act(send({ kind: 'freeze', reason: reason.trim() }))}
            >
              {text.freezeHub}
            </button>
          )}
          <button type="button" disabled={isBusy} onClick={() => act(sendAll(toAll(screen, { kind: 'stop-all' })))}>
            {freeze.stopAll}
          </button>
          <button type="button" class="quiet" onClick={close}>
            {words.cancel}
          </button>
        </div>
      </form>
    </dialog>
  );
}

/** Says that the server is frozen, and thaws it. */
export function FrozenNotice() {
  const { state, person } = useScreen();
  const { isBusy, fault, send } = useOrder();
  if (state?.frozen == null) return null;
  const { since, by, reason, by_signals } = state.frozen;
  const { freeze } = words;
  return (
    <section class="notice frozen" aria-label={freeze.frozen}>
      <h2>
        <span aria-hidden="true">❚❚</span> {placed(state.hub && visibleLine(state.hub), freeze.frozen)}
      </h2>
      <p>
        {freeze.since(describeMoment(since), visibleLine(by))} {sentence(visibleLine(reason))}
      </p>
      {by_signals && <p>{freeze.bySignals}</p>}
      <Fault text={fault} />
      {person?.passkey === true && (
        <div class="actions">
          <button type="button" disabled={isBusy} onClick={() => void send({ kind: 'thaw', since })}>
            {isBusy ? words.request.signing : freeze.thaw}
          </button>
        </div>
      )}
    </section>
  );
}
