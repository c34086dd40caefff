import { MAX_MESSAGE_BYTES } from './envelope.ts';
import type { Inventory } from './inventory.ts';

/** An invitation that waits: who has the code, and root's process that answers. */
export interface OpenInvite {
  readonly id: string;
  readonly guestKey: string;
  readonly hostKey: string;
}

/** Where the NATS server listens and has its files. */
export interface NatsPlace {
  readonly listen: string;
  readonly port: number;
  readonly certificate: string;
  readonly privateKey: string;
  readonly pidFile: string;
}

/** A dead connection is known after two of these. */
const PING = '10s';

/** Subjects of the hub's inboxes begin so. */
export const INBOX = 'a3.hub';
export const rpcSubject = (key: string): string => `a3.${key}.rpc`;
export const stateSubject = (key: string): string => `a3.${key}.up.state`;
export const answerSubject = (key: string): string => `a3.${key}.up.answer`;
export const joinSubject = (id: string): string => `a3.join.${id}`;
export const joinAnswerSubject = (id: string): string => `a3.join.${id}.answer`;

interface Permissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

/** The configuration of `nats-server` for a hub: nkeys alone, and each may do what its part in the fleet needs and nothing else. */
export function natsConfig(
  { hub, servers }: Inventory,
  { listen, port, certificate, privateKey, pidFile }: NatsPlace,
  invites: readonly OpenInvite[] = [],
): string {
  const users = [
    user(hub.key, { publish: ['a3.*.rpc'], subscribe: ['a3.*.up.>', `${INBOX}.>`] }),
    ...servers.map(({ key }) =>
      user(key, { publish: [stateSubject(key), answerSubject(key)], subscribe: [rpcSubject(key)] }),
    ),
    ...invites.flatMap(({ id, guestKey, hostKey }) => [
      user(guestKey, { publish: [joinSubject(id)], subscribe: [joinAnswerSubject(id)] }),
      user(hostKey, { publish: [joinAnswerSubject(id)], subscribe: [joinSubject(id)] }),
    ]),
  ];
  return `# Written by agent3 fleet, from servers.json: changes here are lost.
server_name: agent3-hub
host: ${quoted(listen)}
port: ${port}
max_payload: ${MAX_MESSAGE_BYTES}
max_subscriptions: 4096
ping_interval: "${PING}"
ping_max: 2
write_deadline: "5s"
pid_file: ${quoted(pidFile)}
tls {
  cert_file: ${quoted(certificate)}
  key_file: ${quoted(privateKey)}
  timeout: 5
}
authorization {
  timeout: 5
  users: [
${users.join('\n')}
  ]
}
`;
}

function user(key: string, { publish, subscribe }: Permissions): string {
  const list = (subjects: readonly string[]): string => `[${subjects.map(quoted).join(', ')}]`;
  return `    { nkey: ${key}, permissions: { publish: { allow: ${list(publish)} }, subscribe: { allow: ${list(subscribe)} } } }`;
}

/** Only what cannot end a text of the configuration. Throws for every other. */
function quoted(text: string): string {
  if (!/^[\w./:*>@ -]+$/.test(text)) throw new Error(`a path or address with such characters cannot be used: ${text}`);
  return `"${text}"`;
}
