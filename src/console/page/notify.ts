import { PUSH_EVENTS, type PushEvent } from '../push/message.ts';
import { post } from './api.ts';
import { recall, remember } from './storage.ts';

/** Why this browser cannot notify; `install`: on an iPhone only a page that is on the home screen can. */
export type NotifyObstacle = 'unsupported' | 'install' | 'denied' | 'no-key';

/** The state of notifications in this browser. */
export interface NotifyState {
  readonly obstacle: NotifyObstacle | undefined;
  /** The events that it is notified of; undefined: notifications are off. */
  readonly events: readonly PushEvent[] | undefined;
}

/** What became of a push that was asked for. */
export interface PushTried {
  readonly state: 'sent' | 'gone' | 'failed';
  readonly why?: string;
}

/** The worker's file: at the top, so that the whole page is in its scope. */
const WORKER = '/worker.js';
/** What this browser is to be told of, so that a subscription that was lost is made again. */
const WANTED = 'agent3-notify';

interface Answer {
  readonly public_key: string | null;
  readonly events: readonly PushEvent[] | null;
}

/** Returns the state by the browser and by the console. Throws an `ApiError`. */
export async function notifyState(): Promise<NotifyState> {
  const obstacle = obstacleHere();
  if (obstacle === 'unsupported' || obstacle === 'install') return { obstacle, events: undefined };
  const subscription = await subscriptionHere();
  const answer = await post<Answer>('notifications', subscription && { endpoint: subscription.endpoint });
  if (answer.public_key === null) return { obstacle: 'no-key', events: undefined };
  return { obstacle, events: (subscription && answer.events) ?? undefined };
}

/** Has this browser notified of `events`, after asking the person. Throws an `ApiError`, and what the browser says. */
export async function notify(events: readonly PushEvent[] = PUSH_EVENTS): Promise<void> {
  if ((await Notification.requestPermission()) !== 'granted') return;
  const { public_key } = await post<Answer>('notifications');
  if (public_key === null) return;
  await navigator.serviceWorker.register(WORKER, { updateViaCache: 'none' });
  const { pushManager } = await navigator.serviceWorker.ready;
  const before = await pushManager.getSubscription();
  // One that was made for another key of the agent is of no use.
  const isOther = before !== null && base64url(before.options.applicationServerKey) !== public_key;
  if (isOther) await before.unsubscribe();
  const subscription =
    before !== null && !isOther
      ? before
      : await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: public_key });
  await post('subscribe', {
    endpoint: subscription.endpoint,
    p256dh: base64url(subscription.getKey('p256dh')),
    auth: base64url(subscription.getKey('auth')),
    events,
  });
  remember(WANTED, events.join(' '));
}

/** Ends notifications in this browser; on the console as well, where that can be reached. */
export async function stopNotifying(): Promise<void> {
  remember(WANTED, undefined);
  const subscription = await subscriptionHere();
  if (subscription === undefined) return;
  await post('unsubscribe', { endpoint: subscription.endpoint }).catch(() => {});
  await subscription.unsubscribe();
}

/** Has the agent send a push to this browser. Throws an `ApiError`. */
export async function tryNotification(): Promise<PushTried> {
  const endpoint = (await subscriptionHere())?.endpoint ?? '';
  return await post<PushTried>('test-notification', { endpoint });
}

/** Makes a subscription again that was lost, in a browser where they were on. Never throws. */
export async function keepNotifying(): Promise<void> {
  const wanted = recall(WANTED)?.split(' ');
  if (wanted === undefined || obstacleHere() !== undefined || Notification.permission !== 'granted') return;
  try {
    const { obstacle, events } = await notifyState();
    if (obstacle === undefined && events === undefined)
      await notify(PUSH_EVENTS.filter((event) => wanted.includes(event)));
  } catch {
    // The next visit tries it again.
  }
}

function obstacleHere(): NotifyObstacle | undefined {
  // An iPhone has them only on the home screen. Its browser is recognized by this property.
  if (!('serviceWorker' in navigator && 'PushManager' in window && 'Notification' in window))
    return 'standalone' in navigator ? 'install' : 'unsupported';
  return Notification.permission === 'denied' ? 'denied' : undefined;
}

async function subscriptionHere(): Promise<PushSubscription | undefined> {
  const registration = await navigator.serviceWorker?.getRegistration('/');
  return (await registration?.pushManager?.getSubscription()) ?? undefined;
}

function base64url(bytes: ArrayBuffer | null): string {
  const text = String.fromCharCode(...new Uint8Array(bytes ?? new ArrayBuffer()));
  return btoa(text).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}
