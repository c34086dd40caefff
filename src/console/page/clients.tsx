import { useEffect, useState } from 'preact/hooks';
import { visibleLine } from '../../lib/visible.ts';
import type { Client } from '../shown.ts';
import { describeFailure, post } from './api.ts';
import { describeMoment, describeSpan } from './format.ts';
import { Fact, Fault, KeptHeading, TwoTap, useNow, useOrder } from './parts.tsx';
import { words } from './words.ts';

const AGAIN_MS = 15_000;

/** Tokens and grants. */
export function ClientsView() {
  const { clients, fault, ask } = useClients();
  return (
    <section>
      <KeptHeading level={1} text={words.clients} count={clients?.length ?? 0} />
      <Fault text={fault} />
      {clients === undefined && fault === undefined && <p class="muted">{words.loading}</p>}
      {clients?.length === 0 && <p class="empty">{words.views.clientsNone}</p>}
      {clients?.map((client) => (
        <ClientCard key={`${client.kind} ${client.name} ${client.made}`} client={client} onRevoked={ask} />
      ))}
    </section>
  );
}

function useClients() {
  const [clients, setClients] = useState<readonly Client[]>();
  const [fault, setFault] = useState<string>();
  const [asked, setAsked] = useState(0);
  useEffect(() => {
    const stop = new AbortController();
    post<{ clients: readonly Client[] }>('clients', {}, stop.signal).then(
      (answer) => {
        setClients(answer.clients);
        setFault(undefined);
      },
      (error) => stop.signal.aborted || setFault(describeFailure(error)),
    );
    const timer = setTimeout(() => setAsked(asked + 1), AGAIN_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [asked]);
  return { clients, fault, ask: () => setAsked((number) => number + 1) };
}

function ClientCard({ client, onRevoked }: { client: Client; onRevoked: () => void }) {
  const { isBusy, fault, send } = useOrder();
  const now = useNow();
  const { views, time } = words;
  const name = visibleLine(client.name);
  const revoke = async (): Promise<void> => {
    if (await send({ kind: 'revoke', token: client.name, made: client.made })) onRevoked();
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
        {client.addresses.length > 0 && (
          <Fact name={views.addresses}>{client.addresses.map(visibleLine).join(', ')}</Fact>
        )}
      </dl>
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
    </article>
  );
}
