import { useEffect, useState } from 'preact/hooks';
import { visibleLine } from '../../lib/visible.ts';
import type { Client, Clients } from '../shown.ts';
import { ChangeToken, ConnectClient, KeepClient, NewToken } from './access.tsx';
import { describeFailure, post } from './api.ts';
import { describeMoment, describeSpan } from './format.ts';
import { Fact, Fault, KeptHeading, TwoTap, useNow, useOrder, useScreen } from './parts.tsx';
import { words } from './words.ts';

const AGAIN_MS = 15_000;
/** While a client is awaited. */
const SOON_MS = 2000;

/** Tokens and grants. */
export function ClientsView() {
  const { access, fault, ask } = useClients();
  const { person } = useScreen();
  const clients = access?.clients;
  const isOwner = person?.passkey === true;
  return (
    <section>
      <KeptHeading level={1} text={words.clients} count={clients?.length ?? 0} />
      <Fault text={fault} />
      {clients === undefined && fault === undefined && <p class="muted">{words.loading}</p>}
      {clients?.length === 0 && <p class="empty">{words.views.clientsNone}</p>}
      {clients?.map((client) => (
        <ClientCard
          key={`${client.kind} ${client.name} ${client.made}`}
          client={client}
          profiles={access?.profiles ?? []}
          isOwner={isOwner}
          onDone={ask}
        />
      ))}
      {access !== undefined && isOwner && (
        <>
          <NewToken access={access} onDone={ask} />
          <ConnectClient access={access} onDone={ask} />
        </>
      )}
    </section>
  );
}

function useClients() {
  const [access, setAccess] = useState<Clients>();
  const [fault, setFault] = useState<string>();
  const [asked, setAsked] = useState(0);
  const isAwaited = access?.clients.some(({ sign_in }) => sign_in !== null) ?? false;
  useEffect(() => {
    const stop = new AbortController();
    post<Clients>('clients', {}, stop.signal).then(
      (answer) => {
        setAccess(answer);
        setFault(undefined);
      },
      (error) => stop.signal.aborted || setFault(describeFailure(error)),
    );
    const timer = setTimeout(() => setAsked(asked + 1), isAwaited ? SOON_MS : AGAIN_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [asked, isAwaited]);
  return { access, fault, ask: () => setAsked((number) => number + 1) };
}

interface ClientCardProps extends Pick<Clients, 'profiles'> {
  readonly client: Client;
  /** The person has a passkey. */
  readonly isOwner: boolean;
  readonly onDone: () => void;
}

function ClientCard({ client, profiles, isOwner, onDone }: ClientCardProps) {
  const { isBusy, fault, send } = useOrder();
  const now = useNow();
  const { views, time } = words;
  const name = visibleLine(client.name);
  const revoke = async (): Promise<void> => {
    if (await send({ kind: 'revoke', token: client.name, made: client.made })) onDone();
  };
  return (
    <article class="card">
      <header>
        <h2>{name}</h2>
        <span class="tag">{client.kind === 'token' ? views.token : views.grant}</span>
      </header>
      <dl class="facts tight">
        {client.client !== null && <Fact name={views.client}>{visibleLine(client.client)}</Fact>}
        <Fact name={views.profile}>{visibleLine(client.profile)}</Fact>
        {client.made !== '' && <Fact name={views.id}>{visibleLine(client.made)}</Fact>}
        <Fact name={views.expires}>{client.expires_at === null ? views.never : describeMoment(client.expires_at)}</Fact>
        <Fact name={views.lastUsed}>
          {client.last_used_at === null ? views.notUsed : time.ago(describeSpan(now - client.last_used_at))}
        </Fact>
        {client.made_by !== null && <Fact name={words.access.madeBy}>{visibleLine(client.made_by)}</Fact>}
        {client.addresses.length > 0 && (
          <Fact name={views.addresses}>{client.addresses.map(visibleLine).join(', ')}</Fact>
        )}
      </dl>
      <KeepClient client={client} mayKeep={isOwner} onDone={onDone} />
      <Fault text={fault} />
      {client.revocable ? (
        <div class="actions">
          <TwoTap
            text={views.revoke}
            label={views.revokeLabel(name)}
            confirm={views.revokeConfirm}
            confirmLabel={views.revokeConfirmLabel(name)}
            disabled={isBusy}
            onConfirm={() => void revoke()}
          />
        </div>
      ) : (
        <p class="muted">{views.notRevocable}</p>
      )}
      {isOwner && client.revocable && client.kind === 'token' && (
        <ChangeToken client={client} profiles={profiles} onDone={onDone} />
      )}
    </article>
  );
}
