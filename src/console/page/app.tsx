import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { visibleLine } from '../../lib/visible.ts';
import { isSignedIn } from './api.ts';
import { ClientsView } from './clients.tsx';
import { LinkView, SignInView } from './entry.tsx';
import { FreezeButton, FrozenNotice } from './freeze.tsx';
import { NowView } from './now.tsx';
import { useDesk, useScreen } from './parts.tsx';
import type { LinkSecret } from './sign.ts';
import { WaitingView } from './waiting.tsx';
import { words } from './words.ts';

const VIEWS = { waiting: WaitingView, now: NowView, clients: ClientsView } as const;
type ViewName = keyof typeof VIEWS;

function viewHere(): ViewName {
  const name = location.hash.slice(1);
  return name in VIEWS ? (name as ViewName) : 'waiting';
}

function useView(): ViewName {
  const [view, setView] = useState(viewHere());
  useEffect(() => {
    const change = (): void => {
      setView(viewHere());
      scrollTo(0, 0);
    };
    addEventListener('hashchange', change);
    return () => removeEventListener('hashchange', change);
  }, []);
  return view;
}

interface AppProps {
  /** Undefined: the page was opened without a link. `broken`: with one that is not whole. */
  readonly link: LinkSecret | 'broken' | undefined;
}

export function App({ link }: AppProps) {
  const { ended } = useScreen();
  const [isLinking, setLinking] = useState(link !== undefined);
  if (isLinking)
    return (
      <Plain>
        <LinkView link={link === 'broken' ? undefined : link} onDone={() => setLinking(false)} />
      </Plain>
    );
  if (!isSignedIn())
    return (
      <Plain>
        <SignInView hasEnded={ended} />
      </Plain>
    );
  return <Console />;
}

function Plain({ children }: { children: ComponentChildren }) {
  return (
    <>
      <header class="top">
        <Brand host="" />
      </header>
      <main id="content">{children}</main>
    </>
  );
}

function Brand({ host }: { host: string }) {
  return (
    <p class="brand">
      <span class="mark" aria-hidden="true">
        ›_
      </span>
      <strong>{words.brand}</strong>
      {host !== '' && <span class="host">{host}</span>}
    </p>
  );
}

function Console() {
  const { state, person } = useScreen();
  const view = useView();
  const desk = useDesk();
  const View = VIEWS[view];
  const host = visibleLine(state?.host ?? '');
  const count = state?.waiting.length ?? 0;
  useEffect(() => {
    document.title = words.title(count, host);
  }, [count, host]);
  return (
    <>
      <button type="button" class="skip" onClick={() => document.getElementById('content')?.focus()}>
        {words.skip}
      </button>
      <header class="top">
        <Brand host={host} />
        {state?.frozen === null && <FreezeButton />}
        <Navigation view={view} waiting={count} />
      </header>
      <Connection />
      <main id="content" tabIndex={-1}>
        <Notices />
        <FrozenNotice />
        {state === undefined ? <h1 class="empty">{words.loading}</h1> : <View key={view} />}
      </main>
      <footer class="bottom">
        <p class="muted">{person !== undefined && words.signedInAs(person.name)}</p>
        <button type="button" class="quiet" onClick={() => void desk.signOut()}>
          {words.signOut}
        </button>
      </footer>
      <Announcer />
    </>
  );
}

function Navigation({ view, waiting }: { view: ViewName; waiting: number }) {
  return (
    <nav aria-label={words.navigation}>
      {(Object.keys(VIEWS) as ViewName[]).map((name) => (
        <a key={name} href={`#${name}`} aria-current={name === view ? 'page' : undefined}>
          {words[name]}
          {name === 'waiting' && waiting > 0 && <span class="badge">{waiting}</span>}
        </a>
      ))}
    </nav>
  );
}

function Connection() {
  const { connection } = useScreen();
  const isBad = connection === 'lost' || connection === 'away';
  return (
    <p class="connection" role="status" hidden={!isBad}>
      {isBad && `${words.connection[connection]} ${words.connection.stale}`}
    </p>
  );
}

function Notices() {
  const { state, person } = useScreen();
  const { notice } = words;
  return (
    <>
      {state?.root_full && (
        <section class="notice red" aria-label={notice.rootTitle}>
          <h2>
            <span aria-hidden="true">⚠</span> {notice.rootTitle}
          </h2>
          <p>{notice.root}</p>
        </section>
      )}
      {state?.development && (
        <section class="notice red" aria-label={notice.developmentTitle}>
          <h2>
            <span aria-hidden="true">⚠</span> {notice.developmentTitle}
          </h2>
          <p>{notice.development}</p>
        </section>
      )}
      {person?.passkey === false && <p class="notice">{notice.noPasskey}</p>}
    </>
  );
}

/** Says to a screen reader what begins to wait, and when the server is frozen. */
function Announcer() {
  const { state } = useScreen();
  const [text, setText] = useState('');
  const before = useRef({ sessions: new Set<string>(), isFrozen: false });
  useEffect(() => {
    if (state === undefined) return;
    const { sessions, isFrozen } = before.current;
    const fresh = state.waiting.filter(({ session }) => !sessions.has(session));
    const newest = fresh.at(-1);
    const isFrozenNow = state.frozen !== null;
    before.current = { sessions: new Set(state.waiting.map(({ session }) => session)), isFrozen: isFrozenNow };
    if (isFrozenNow !== isFrozen) setText(isFrozenNow ? words.announce.frozen : words.announce.thawed);
    else if (newest !== undefined)
      setText(words.announce.waits(state.waiting.length, visibleLine(newest.cmd.slice(0, 100))));
    else if (sessions.size > 0 && state.waiting.length === 0) setText(words.announce.none);
  }, [state]);
  return (
    <p class="unseen" role="status" aria-live="polite">
      {text}
    </p>
  );
}
