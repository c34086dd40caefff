import { useEffect, useState } from 'preact/hooks';
import { describeFailure, keepBearer } from './api.ts';
import { Fault, useDesk } from './parts.tsx';
import { askForSession, isCancelled, type Linking, type LinkSecret, makePasskey, signIn } from './sign.ts';
import { words } from './words.ts';

/** For who is not signed in. */
export function SignInView({ hasEnded }: { hasEnded: boolean }) {
  const desk = useDesk();
  const [isBusy, setBusy] = useState(false);
  const [fault, setFault] = useState<string>();
  const text = words.signIn;
  const start = async (): Promise<void> => {
    setBusy(true);
    setFault(undefined);
    try {
      await signIn();
      desk.start();
    } catch (error) {
      setFault(isCancelled(error) ? text.cancelled : describeFailure(error));
    }
    setBusy(false);
  };
  return (
    <section class="entry">
      <h1>{text.title}</h1>
      <p class="lead">{text.lead}</p>
      {hasEnded && <p role="status">{text.ended}</p>}
      <Fault text={fault} />
      <button type="button" class="primary wide" disabled={isBusy} onClick={() => void start()}>
        {isBusy ? text.busy : text.button}
      </button>
      <p class="muted">{text.help}</p>
      <p>
        <code class="shell">{text.command}</code>
      </p>
    </section>
  );
}

interface LinkViewProps {
  /** Undefined: the link was no whole one. */
  readonly link: LinkSecret | undefined;
  readonly onDone: () => void;
}

/** For who has opened a link of root's terminal. */
export function LinkView({ link, onDone }: LinkViewProps) {
  const [linking, setLinking] = useState<Linking>();
  if (link === undefined)
    return (
      <section class="entry">
        <h1>{words.link.title}</h1>
        <p role="alert">{words.link.broken}</p>
      </section>
    );
  return (
    <section class="entry">
      {linking === undefined ? (
        <LinkForm link={link} onLinking={setLinking} />
      ) : (
        <LinkAnswer linking={linking} onDone={onDone} />
      )}
    </section>
  );
}

const MAX_NAME_CHARS = 60;

function LinkForm({ link, onLinking }: { link: LinkSecret; onLinking: (linking: Linking) => void }) {
  const [name, setName] = useState(words.link.defaultName);
  const [isBusy, setBusy] = useState(false);
  const [fault, setFault] = useState<string>();
  const text = words.link;
  const start = async (make: typeof makePasskey): Promise<void> => {
    setBusy(true);
    setFault(undefined);
    try {
      onLinking(await make(link, name.trim() || text.defaultName));
    } catch (error) {
      setFault(isCancelled(error) ? text.cancelled : `${text.failed} ${describeFailure(error)}`);
      setBusy(false);
    }
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void start(makePasskey);
      }}
    >
      <h1>{text.title}</h1>
      <p class="lead">{text.lead}</p>
      <label>
        {text.name}
        <input
          type="text"
          value={name}
          maxLength={MAX_NAME_CHARS}
          required
          autocomplete="off"
          onInput={(event) => setName(event.currentTarget.value)}
        />
      </label>
      <Fault text={fault} />
      <button type="submit" class="primary wide" disabled={isBusy}>
        {isBusy ? text.busy : text.create}
      </button>
      <button type="button" class="quiet wide" disabled={isBusy} onClick={() => void start(askForSession)}>
        {text.without}
      </button>
      <p class="muted">{text.withoutHelp}</p>
    </form>
  );
}

const ASK_MS = 1500;

type LinkState = Awaited<ReturnType<Linking['ask']>>;

function LinkAnswer({ linking, onDone }: { linking: Linking; onDone: () => void }) {
  const desk = useDesk();
  const [answer, setAnswer] = useState<LinkState>({ state: 'open' });
  const [asked, setAsked] = useState(0);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isOver = false;
    const again = (): void => {
      if (!isOver) timer = setTimeout(() => setAsked(asked + 1), ASK_MS);
    };
    linking.ask().then((now) => {
      if (isOver) return;
      setAnswer(now);
      if (now.state === 'open') again();
      if (now.state !== 'pinned' || linking.bearer === undefined) return;
      keepBearer(linking.bearer);
      onDone();
      desk.start();
    }, again);
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [asked]);
  return <LinkResult linking={linking} answer={answer} onDone={onDone} />;
}

interface LinkResultProps {
  readonly linking: Linking;
  readonly answer: LinkState;
  readonly onDone: () => void;
}

function LinkResult({ linking, answer, onDone }: LinkResultProps) {
  const text = words.link;
  if (answer.state === 'pinned')
    return (
      <>
        <h1>{text.pinnedTitle}</h1>
        <p role="status">{text.pinned}</p>
        <button type="button" class="primary wide" onClick={onDone}>
          {words.signIn.title}
        </button>
      </>
    );
  if (answer.state !== 'open')
    return (
      <>
        <h1>{answer.state === 'refused' ? text.refusedTitle : text.overTitle}</h1>
        <p role="alert">{[answer.why, text.over].filter(Boolean).join('. ')}</p>
      </>
    );
  return (
    <>
      <h1>{text.openTitle}</h1>
      <p role="status">{linking.bearer === undefined ? text.open : text.openSession}</p>
      <dl class="compare">
        <dt>{text.name}</dt>
        <dd>{linking.name}</dd>
        {linking.fingerprint !== undefined && (
          <>
            <dt>{text.fingerprint}</dt>
            <dd>
              <code>{linking.fingerprint}</code>
            </dd>
          </>
        )}
      </dl>
    </>
  );
}
