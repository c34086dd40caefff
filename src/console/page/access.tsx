import { useState } from 'preact/hooks';
import { CLIENT_KINDS, type ClientKind, KIND_NAMES } from '../../access/client-kinds.ts';
import { visibleLine } from '../../lib/visible.ts';
import { codeHash, hex, sha256 } from '../order.ts';
import type { Client, Clients } from '../shown.ts';
import { Fault, useDesk, useOrder } from './parts.tsx';
import { newCode, newId, newSecret, ShownOnce, spellCode } from './secret.tsx';
import { type ClientUrl, judgeUrl } from './sign.ts';
import { words } from './words.ts';

const DAY_MS = 86_400_000;
/** How long something is good, in days; 0: it has no end. */
const ENDS = [1, 7, 30, 90, 0] as const;
/** How long a code is valid. */
const CODE_MS = 600_000;

/** What a person chooses of a token. */
interface Choice {
  readonly profile: string;
  readonly days: number;
}

interface ChoiceProps {
  readonly profiles: Clients['profiles'];
  readonly choice: Choice;
  readonly onChange: (choice: Choice) => void;
}

function ChoiceFields({ profiles, choice, onChange }: ChoiceProps) {
  const text = words.access;
  const { description = '' } = profiles.find(({ name }) => name === choice.profile) ?? {};
  return (
    <>
      <label>
        {words.views.profile}
        <select
          value={choice.profile}
          onChange={(event) => onChange({ ...choice, profile: event.currentTarget.value })}
        >
          {profiles.map(({ name }) => (
            <option key={name} value={name}>
              {visibleLine(name)}
            </option>
          ))}
        </select>
      </label>
      <p class="muted">{visibleLine(description)}</p>
      <label>
        {words.views.expires}
        <select
          value={choice.days}
          onChange={(event) => onChange({ ...choice, days: Number(event.currentTarget.value) })}
        >
          {ENDS.map((days) => (
            <option key={days} value={days}>
              {days === 0 ? words.views.never : text.inDays(days)}
            </option>
          ))}
        </select>
      </label>
    </>
  );
}

/** The least that can be given comes first. */
function usual({ profiles }: Clients): Choice {
  return {
    profile: profiles.some(({ name }) => name === 'readonly') ? 'readonly' : (profiles[0]?.name ?? ''),
    days: 30,
  };
}

function endOf(days: number, now: number): number | null {
  return days === 0 ? null : now + days * DAY_MS;
}

function NameField({ value, onChange }: { value: string; onChange: (name: string) => void }) {
  return (
    <label>
      {words.access.name}
      <input
        type="text"
        value={value}
        required
        pattern="[a-z0-9][a-z0-9_.\-]{0,63}"
        title={words.access.nameHelp}
        autoCapitalize="none"
        autoComplete="off"
        spellcheck={false}
        onInput={(event) => onChange(event.currentTarget.value.trim())}
      />
    </label>
  );
}

interface FormProps {
  readonly access: Clients;
  readonly onDone: () => void;
}

/** Makes a token, and shows it once. */
export function NewToken({ access, onDone }: FormProps) {
  const desk = useDesk();
  const { isBusy, fault, send } = useOrder();
  const [name, setName] = useState('');
  const [choice, setChoice] = useState(usual(access));
  const [secret, setSecret] = useState<string>();
  const text = words.access;
  const create = async (): Promise<void> => {
    // Only the page knows it: the order has its hash.
    const made = newSecret();
    const scope = { token: name, made: newId(), profile: choice.profile, expires_at: endOf(choice.days, desk.now()) };
    if (!(await send({ kind: 'create-token', ...scope, sha256: hex(await sha256(made)) }))) return;
    setSecret(made);
    setName('');
    onDone();
  };
  return (
    <details class="card">
      <summary>{text.newToken}</summary>
      {secret !== undefined && (
        <ShownOnce title={text.tokenShown} text={secret} qr={secret} onOver={() => setSecret(undefined)} />
      )}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void create();
        }}
      >
        <NameField value={name} onChange={setName} />
        <ChoiceFields profiles={access.profiles} choice={choice} onChange={setChoice} />
        <Fault text={fault} />
        <div class="actions">
          <button type="submit" class="primary" disabled={isBusy}>
            {isBusy ? words.request.signing : text.create}
          </button>
        </div>
      </form>
    </details>
  );
}

/** The page's own name of a kind: a name from the console could be that of another kind. */
function nameOf(kind: ClientKind): string {
  return kind === 'other' ? words.access.otherClient : KIND_NAMES[kind];
}

/** A code that was made, and the URL that the page named before it was signed. */
interface MadeCode {
  readonly code: string;
  readonly url: ClientUrl['url'];
}

/** Makes a one-time code for a client that signs in. */
export function ConnectClient({ access, onDone }: FormProps) {
  const desk = useDesk();
  const { isBusy, fault, send } = useOrder();
  const { clients } = access;
  const [kind, setKind] = useState<ClientKind>('chatgpt');
  const [choice, setChoice] = useState<Choice>({ ...usual(access), days: 0 });
  const [shown, setShown] = useState<MadeCode>();
  const text = words.access;
  if (access.url === null) return null;
  const judged = judgeUrl(access.url, location.href);
  if (judged === undefined) return <p class="note">{text.badUrl(visibleLine(access.url))}</p>;
  const { url, isOwn } = judged;
  const connect = async (): Promise<void> => {
    const made = newCode();
    const scope = { made: newId(), profile: choice.profile, expires_at: endOf(choice.days, desk.now()) };
    const token = freeName(kind, clients);
    if (!(await send({ kind: 'connect-code', token, ...scope, client: kind, code_sha256: await codeHash(made) })))
      return;
    setShown({ code: made, url });
    onDone();
  };
  return (
    <details class="card">
      <summary>{text.connect}</summary>
      {shown !== undefined && (
        <>
          <ol>
            <li>
              {text.addUrl} <code>{visibleLine(shown.url.href)}</code>
            </li>
            <li>{text.enterCode}</li>
          </ol>
          <ShownOnce
            title={text.codeShown}
            text={spellCode(shown.code)}
            ms={CODE_MS}
            onOver={() => setShown(undefined)}
          />
        </>
      )}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void connect();
        }}
      >
        <label>
          {words.views.client}
          <select value={kind} onChange={(event) => setKind(event.currentTarget.value as ClientKind)}>
            {CLIENT_KINDS.map((one) => (
              <option key={one} value={one}>
                {nameOf(one)}
              </option>
            ))}
          </select>
        </label>
        <ChoiceFields profiles={access.profiles} choice={choice} onChange={setChoice} />
        {!isOwn && <p class="note">{text.otherHost(url.host, location.host)}</p>}
        <Fault text={fault} />
        <div class="actions">
          <button type="submit" class="primary" disabled={isBusy}>
            {isBusy ? words.request.signing : text.makeCode}
          </button>
        </div>
      </form>
    </details>
  );
}

function freeName(kind: string, clients: readonly Client[]): string {
  const isTaken = (name: string): boolean => clients.some((one) => one.name === name);
  let name = kind;
  for (let number = 2; isTaken(name); number++) name = `${kind}-${number}`;
  return name;
}

interface ClientProps {
  readonly client: Client;
  readonly onDone: () => void;
}

/** Changes profile and end of a token. */
export function ChangeToken({ client, profiles, onDone }: ClientProps & Pick<Clients, 'profiles'>) {
  const desk = useDesk();
  const { isBusy, fault, send } = useOrder();
  const [choice, setChoice] = useState<Choice>({ profile: client.profile, days: 30 });
  const { name: token, made } = client;
  const change = async (): Promise<void> => {
    const scope = { token, made, profile: choice.profile, expires_at: endOf(choice.days, desk.now()) };
    if (await send({ kind: 'change-token', ...scope })) onDone();
  };
  return (
    <details>
      <summary>{words.access.change}</summary>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void change();
        }}
      >
        <ChoiceFields profiles={profiles} choice={choice} onChange={setChoice} />
        <Fault text={fault} />
        <div class="actions">
          <button type="submit" aria-label={words.access.changeLabel(visibleLine(token))} disabled={isBusy}>
            {isBusy ? words.request.signing : words.access.changeNow}
          </button>
        </div>
      </form>
    </details>
  );
}

/** Says yes to the client that has come with a code. To say no is to revoke it. */
export function KeepClient({ client, mayKeep, onDone }: ClientProps & { mayKeep: boolean }) {
  const { isBusy, fault, send } = useOrder();
  const { name: token, made, sign_in } = client;
  const text = words.access;
  if (sign_in === null) return null;
  const { arrived } = sign_in;
  if (arrived === null) return <p class="note">{text.awaited}</p>;
  const keep = async (): Promise<void> => {
    if (await send({ kind: 'keep-client', token, made, ...arrived })) onDone();
  };
  return (
    <div class="note">
      <p>{text.arrived(visibleLine(arrived.client), visibleLine(arrived.address), visibleLine(arrived.redirect))}</p>
      <Fault text={fault} />
      {mayKeep && (
        <div class="actions">
          <button
            type="button"
            class="primary"
            aria-label={text.keepLabel(visibleLine(token))}
            disabled={isBusy}
            onClick={() => void keep()}
          >
            {isBusy ? words.request.signing : text.keep}
          </button>
        </div>
      )}
    </div>
  );
}
