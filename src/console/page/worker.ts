import { type PushMessage, readMessage } from '../push/message.ts';
import { asLanguage, LANGUAGE_PLACE, type Language, language } from './language.ts';
import { WORDS } from './words.ts';

/*
 * The page's service worker: shows what the agent has pushed, in words of its own. It keeps nothing and answers no
 * request.
 */

interface PushEvent extends ExtendableEvent {
  readonly data: { text(): string } | null;
}
interface ClickEvent extends ExtendableEvent {
  readonly notification: Notification;
}
interface ExtendableEvent extends Event {
  waitUntil(done: Promise<unknown>): void;
}
interface Tab {
  readonly url: string;
  navigate(url: string): Promise<unknown>;
  focus(): Promise<unknown>;
}
/** The part of a worker's world that is used. */
interface Worker {
  readonly registration: ServiceWorkerRegistration;
  readonly clients: {
    matchAll(which: object): Promise<readonly Tab[]>;
    openWindow(url: string): Promise<unknown>;
    claim(): Promise<void>;
  };
  skipWaiting(): Promise<void>;
  addEventListener<T extends ExtendableEvent>(name: string, listener: (event: T) => void): void;
}
const worker = self as unknown as Worker;

worker.addEventListener('install', () => void worker.skipWaiting());
// Tabs that were there before are its own too: it may lead them to another view.
worker.addEventListener('activate', (event) => event.waitUntil(worker.clients.claim()));
worker.addEventListener<PushEvent>('push', (event) => event.waitUntil(show(event.data?.text() ?? '')));
worker.addEventListener<ClickEvent>('notificationclick', (event) => {
  event.notification.close();
  event.waitUntil(open(String(event.notification.data ?? '')));
});

/** Whatever came, something is shown: a browser takes the right away from a page that is pushed to and shows nothing. */
async function show(text: string): Promise<void> {
  const message = readMessage(text);
  const kind = message?.kind;
  const { push } = WORDS[await workerLanguage()];
  const { title, body } = kind === undefined ? push.other : push[kind];
  const host = new URL(worker.registration.scope).hostname;
  await worker.registration.showNotification(title, {
    body: push.from(body, host),
    // A newer one takes the place of what is there of the same kind, and is heard as well.
    tag: kind ?? 'other',
    renotify: true,
    icon: '/icon-192.png',
    data: viewOf(message),
  } as NotificationOptions);
}

/** What was chosen on the page, else the language of the browser. */
async function workerLanguage(): Promise<Language> {
  try {
    return asLanguage(await (await caches.match(LANGUAGE_PLACE))?.text()) ?? language;
  } catch {
    return language;
  }
}

/** The view that a notification opens. */
function viewOf(message: PushMessage | undefined): string {
  switch (message?.kind) {
    case 'ended':
      return message.id === '' ? '#now' : `#history/${message.id}`;
    case 'reuse':
      return '#clients';
    case 'restarted':
      return '#server';
    case 'frozen':
    case 'thawed':
      return '#now';
    case 'test':
      return '#notifications';
    default:
      return '#waiting';
  }
}

/** Opens a view, in a tab that shows the console already where there is one. */
async function open(view: string): Promise<void> {
  const url = new URL(`/${/^#[a-z]+(?:\/[0-9a-f-]{36})?$/.test(view) ? view : ''}`, worker.registration.scope).href;
  const tabs = await worker.clients.matchAll({ type: 'window', includeUncontrolled: true });
  const [tab] = tabs;
  if (tab === undefined) {
    await worker.clients.openWindow(url);
    return;
  }
  await tab.navigate(url).catch(() => worker.clients.openWindow(url));
  await tab.focus();
}
