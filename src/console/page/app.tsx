import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { visibleLine } from '../../lib/visible.ts';
import { isSignedIn } from './api.ts';
import { ClientsView } from './clients.tsx';
import { BrokenLinkView, LinkView, SignInView } from './entry.tsx';
import { commandLine } from './format.ts';
import { FreezeButton, FrozenNotice } from './freeze.tsx';
import { HistoryView } from './history.tsx';
import { KeysNotice } from './keys-change.tsx';
import { LanguageSwitch } from './language-switch.tsx';
import { NotificationsView } from './notifications.tsx';
import { keepNotifying } from './notify.ts';
import { NowView } from './now.tsx';
import { useDesk, useScreen, useStepFocus } from './parts.tsx';
import { ServerView } from './server.tsx';
import { placed, waitingItems } from './servers.ts';
import type { LinkSecret } from './sign.ts';
import { recall, remember } from './storage.ts';
import { WaitingView } from './waiting.tsx';
import { words } from './words.ts';

const MAIN = { waiting: WaitingView, now: NowView, history: HistoryView, clients: ClientsView } as const;
/** What the foot of the page leads to. */
const MORE = { server: ServerView, notifications: NotificationsView } as const;
const VIEWS = { ...MAIN, ...MORE };
type ViewName = keyof typeof VIEWS;

function viewHere(): ViewName {
  // A view may say more behind a slash.
  const name = location.hash.slice(1).replace(/\/.*$/s, '');
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

/** A link, which a tab that shows the console already can be given as well. `broken`: it is not whole. */
function useLink() {
  const [link, setLink] = useState(takeLink);
  useEffect(() => {
    const change = (): void => setLink(takeLink());
    addEventListener('hashchange', change);
    return () => removeEventListener('hashchange', change);
  }, []);
  return [link, () => setLink(undefined)] as const;
}

/** The link in the fragment, which leaves the address bar and the history at once. */
function takeLink(): LinkSecret | 'broken' | undefined {
  const fragment = location.hash;
  if (!fragment.startsWith('#link=')) return undefined;
  history.replaceState(null, '', location.pathname);
  const [, id, secret] = /^#link=([\w-]{8,64})\.([\w-]+)$/.exec(fragment) ?? [];
  return id === undefined || secret === undefined ? 'broken' : { id, secret };
}

export function App() {
  const { ended } = useScreen();
  const [link, leaveLink] = useLink();
  const place = link === undefined ? isSignedIn() : link;
  useStepFocus(place);
  if (link !== undefined)
    return (
      <Plain>
        {link === 'broken' ? <BrokenLinkView /> : <LinkView key={link.id} link={link} onDone={leaveLink} />}
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
      <main id="content" tabIndex={-1}>
        {children}
      </main>
      <footer class="bottom">
        <LanguageSwitch />
      </footer>
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
  const screen = useScreen();
  const { state, person, fleet } = screen;
  const view = useView();
  const desk = useDesk();
  const View = VIEWS[view];
  const host = visibleLine(state?.host ?? '');
  const count = waitingItems(screen).length + (state?.plans.length ?? 0);
  const isAllFrozen = state?.frozen != null && (fleet?.servers.every(({ is_frozen }) => is_frozen) ?? true);
  useEffect(() => void keepNotifying(), []);
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
        {/* Also before the state is known: this must not wait. */}
        {!isAllFrozen && <FreezeButton />}
        <Navigation view={view} waiting={count} />
      </header>
      <Connection />
      <main id="content" tabIndex={-1}>
        <Notices key={view} />
        <FrozenNotice />
        <KeysNotice />
        {state === undefined ? <h1 class="empty">{words.loading}</h1> : <View key={view} />}
      </main>
      <footer class="bottom">
        <p class="muted">{person !== undefined && words.signedInAs(person.name)}</p>
        {(['server', 'notifications'] as const).map((name) => (
          <a key={name} href={`#${name}`} aria-current={name === view ? 'page' : undefined}>
            {name === 'server' ? words.server.title : words.push.title}
          </a>
        ))}
        <LanguageSwitch />
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
      {(Object.keys(MAIN) as (keyof typeof MAIN)[]).map((name) => (
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
      {state?.root_full && <Warning title={notice.rootTitle} text={notice.root} />}
      {state?.development && <Warning title={notice.developmentTitle} text={notice.development} />}
      {person?.passkey === false && <p class="notice">{notice.noPasskey}</p>}
    </>
  );
}

/** Warnings that were read on this device: from the next view on, they are one line. */
const READ = 'agent3-read';

function Warning({ title, text }: { title: string; text: string }) {
  const [isRead] = useState(() => recall(READ)?.split('\n').includes(title) ?? false);
  useEffect(() => {
    if (!isRead) remember(READ, `${recall(READ) ?? ''}\n${title}`);
  }, []);
  return (
    <details class="notice red" open={!isRead}>
      <summary>
        <span aria-hidden="true">⚠</span> {title}
      </summary>
      <p>{text}</p>
    </details>
  );
}

/** Says to a screen reader what begins to wait, and when the server is frozen. */
function Announcer() {
  const screen = useScreen();
  const { state } = screen;
  const [text, setText] = useState('');
  const before = useRef({ ids: new Set<string>(), isFrozen: false });
  const waiting = waitingItems(screen);
  const ids = waiting.map(({ id }) => id).join(' ');
  useEffect(() => {
    if (state === undefined) return;
    const { ids: known, isFrozen } = before.current;
    const newest = waiting.findLast(({ id }) => !known.has(id));
    const isFrozenNow = state.frozen !== null;
    before.current = { ids: new Set(waiting.map(({ id }) => id)), isFrozen: isFrozenNow };
    if (isFrozenNow !== isFrozen) setText(isFrozenNow ? words.announce.frozen : words.announce.thawed);
    else if (newest !== undefined)
      setText(words.announce.waits(waiting.length, placed(newest.place, commandLine(newest.cmd.slice(0, 100)))));
    else if (known.size > 0 && waiting.length === 0) setText(words.announce.none);
  }, [state, ids]);
  return (
    <p class="unseen" role="status" aria-live="polite">
      {text}
    </p>
  );
}
