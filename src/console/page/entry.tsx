import { useEffect, useState } from 'preact/hooks';
import { describeFailure, isSignedIn, keepBearer } from './api.ts';
import { sentence } from './format.ts';
import { Fault, useDesk, useStepFocus } from './parts.tsx';
import {
  askForSession,
  isCancelled,
  type Linking,
  type LinkSecret,
  type LinkState,
  lookAtLink,
  makePasskey,
  signIn,
} from './sign.ts';
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

/** For a link that was copied in part. */
export function BrokenLinkView() {
  return (
    <section class="entry">
      <h1>{words.link.title}</h1>
      <p role="alert">{words.link.broken}</p>
    </section>
  );
}

const ASK_MS = 1500;

/** What the console says of a link, asked for again until `isLast`. */
function useLinkState(ask: () => Promise<LinkState>, isLast: (now: LinkState) => boolean) {
  const [answer, setAnswer] = useState<LinkState>();
  const [fault, setFault] = useState<string>();
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isOver = false;
    const look = async (): Promise<void> => {
      const now = await ask().catch((error) => {
        if (!isOver) setFault(describeFailure(error));
      });
      if (isOver) return;
      if (now !== undefined) {
        setAnswer(now);
        setFault(undefined);
      }
      if (now === undefined || !isLast(now)) timer = setTimeout(look, ASK_MS);
    };
    void look();
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, []);
  return { answer, fault };
}

interface LinkViewProps {
  readonly link: LinkSecret;
  readonly onDone: () => void;
}

/** For who has opened a link of root's terminal. No passkey is made for one that is over. */
export function LinkView({ link, onDone }: LinkViewProps) {
  const [linking, setLinking] = useState<Linking>();
  const { answer, fault } = useLinkState(
    () => lookAtLink(link),
    () => true,
  );
  useStepFocus(linking);
  return (
    <section class="entry">
      {linking !== undefined ? (
        <LinkAnswer linking={linking} onDone={onDone} />
      ) : answer === undefined ? (
        <>
          <h1>{words.link.title}</h1>
          <p class="muted">{words.loading}</p>
          <Fault text={fault} />
        </>
      ) : answer.state === 'open' ? (
        <LinkForm link={link} given={answer.name} onLinking={setLinking} />
      ) : (
        <LinkOver answer={answer} />
      )}
    </section>
  );
}

const MAX_NAME_CHARS = 60;

interface LinkFormProps {
  readonly link: LinkSecret;
  /** The name that was given at the terminal. */
  readonly given: string | undefined;
  readonly onLinking: (linking: Linking) => void;
}

function LinkForm({ link, given, onLinking }: LinkFormProps) {
  const text = words.link;
  const usual = matchMedia('(pointer: coarse)').matches ? text.phone : text.computer;
  const [name, setName] = useState(given ?? usual);
  const [isBusy, setBusy] = useState(false);
  const [fault, setFault] = useState<string>();
  const start = async (make: typeof makePasskey): Promise<void> => {
    setBusy(true);
    setFault(undefined);
    try {
      onLinking(await make(link, name.trim() || usual));
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
          readOnly={given !== undefined}
          autocomplete="off"
          onInput={(event) => {
            setName(event.currentTarget.value);
            setFault(undefined);
          }}
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

function LinkAnswer({ linking, onDone }: { linking: Linking; onDone: () => void }) {
  const desk = useDesk();
  const { answer } = useLinkState(linking.ask, ({ state }) => state !== 'open');
  const { bearer } = linking;
  const isPinned = answer?.state === 'pinned';
  useStepFocus(answer?.state ?? 'open');
  const leave = async (): Promise<void> => {
    // Who was signed in here before was somebody else, or had no passkey.
    if (isSignedIn()) await desk.signOut();
    keepBearer(bearer);
    onDone();
    desk.start();
  };
  useEffect(() => {
    if (isPinned && bearer !== undefined) void leave();
  }, [isPinned]);
  return <LinkResult linking={linking} answer={answer ?? { state: 'open' }} onDone={() => void leave()} />;
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
  if (answer.state !== 'open') return <LinkOver answer={answer} />;
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

function LinkOver({ answer: { state, why = '' } }: { answer: LinkState }) {
  const text = words.link;
  return (
    <>
      <h1>{state === 'refused' ? text.refusedTitle : text.overTitle}</h1>
      <p role="alert">{`${sentence(why)} ${text.over}`.trim()}</p>
      <p>
        <a href="#waiting">{text.leave}</a>
      </p>
    </>
  );
}
