import { useState } from 'preact/hooks';
import type { ApprovalRequest } from '../../access/approval-request.ts';
import { visibleLine } from '../../lib/visible.ts';
import type { ShownAllowance } from '../shown.ts';
import type { ShownServer } from '../shown-servers.ts';
import { describeSpan } from './format.ts';
import { Fact, Fault, KeptHeading, useNow, useOrder, useScreen } from './parts.tsx';
import { aheadOf, placed, type WaitingItem } from './servers.ts';
import type { Wish } from './sign.ts';
import { words } from './words.ts';

const MINUTES = [5, 15, 30, 60] as const;
const USUAL_MINUTES = 15;

interface AllowForProps {
  readonly request: ApprovalRequest;
  readonly item: WaitingItem;
  readonly disabled: boolean;
  readonly onAllow: (minutes: number) => void;
}

/** Approves a request and allows for a while what its rule asks for. Shows nothing when the request cannot be allowed. */
export function AllowFor({ request, item, disabled, onAllow }: AllowForProps) {
  const [minutes, setMinutes] = useState<number>(USUAL_MINUTES);
  const { allowable, token, profile } = request;
  const { server, place, number } = item;
  if (allowable === undefined || aheadOf(server) === undefined) return null;
  const text = words.allowance;
  return (
    <details class="allow">
      <summary>{text.summary}</summary>
      <p>{text.scope(visibleLine(token.replace(/#.*$/, '')), allowable.rule, visibleLine(profile))}</p>
      <p>
        <code>{visibleLine(allowable.words)}</code>
      </p>
      <p>
        {text.only} <code>{visibleLine(allowable.cwd)}</code>
      </p>
      <div class="actions">
        <select
          aria-label={placed(place, text.minutesLabel(number))}
          value={minutes}
          onChange={(event) => setMinutes(Number(event.currentTarget.value))}
        >
          {MINUTES.map((one) => (
            <option key={one} value={one}>
              {words.time.minutes(one)}
            </option>
          ))}
        </select>
        <button
          type="button"
          aria-label={placed(place, text.allowLabel(number, minutes))}
          disabled={disabled}
          onClick={() => onAllow(minutes)}
        >
          {text.allow(minutes)}
        </button>
      </div>
    </details>
  );
}

/**
 * Returns the order that allows the rule of a request for some minutes, by the clock of its server; undefined when the request
 * cannot be allowed.
 */
export function allowWish(
  request: ApprovalRequest,
  digest: string,
  minutes: number,
  { now, server }: { readonly now: number; readonly server: ShownServer | undefined },
): Wish | undefined {
  const { session, token, profile, allowable } = request;
  const ahead = aheadOf(server);
  if (allowable === undefined || ahead === undefined) return undefined;
  const [name = '', made = ''] = token.split('#');
  const { rule, rule_sha256, cwd } = allowable;
  const until = now + ahead + minutes * 60_000;
  return { kind: 'allow', session, digest, token: name, made, profile, rule, rule_sha256, cwd, until };
}

/** What is allowed now. */
export function AllowancesList() {
  const { state, fleet } = useScreen();
  const own = (state?.allowances ?? []).map((one) => ({ one, server: undefined }));
  const others = (fleet?.servers ?? []).flatMap((server) => server.allowances.map((one) => ({ one, server })));
  const allowances: readonly Allowed[] = [...own, ...others];
  if (allowances.length === 0) return null;
  return (
    <section>
      <KeptHeading level={2} text={words.allowance.title} count={allowances.length} />
      {allowances.map(({ one, server }) => (
        <AllowanceCard key={`${server?.key} ${one.id}`} one={one} server={server} />
      ))}
    </section>
  );
}

/** An allowance, and the server of the fleet that it is on; undefined: this one. */
interface Allowed {
  readonly one: ShownAllowance;
  readonly server: ShownServer | undefined;
}

function AllowanceCard({ one: allowance, server }: Allowed) {
  const { isBusy, fault, send } = useOrder();
  const now = useNow();
  const { id, token, profile, rule, until, by, uses } = allowance;
  const text = words.allowance;
  const name = visibleLine(token);
  const place = server && visibleLine(server.name);
  return (
    <article class="card">
      <header>
        <h3>
          {place !== undefined && <span class="place">{place}</span>} <code>{visibleLine(allowance.words)}</code>
        </h3>
        <p class="left">{words.request.expires(describeSpan(Math.max(0, until - now)))}</p>
      </header>
      <dl class="facts tight">
        <Fact name={words.request.by}>{name}</Fact>
        <Fact name={text.rule}>{text.ruleOf(rule, visibleLine(profile))}</Fact>
        <Fact name={words.request.directory}>{visibleLine(allowance.cwd)}</Fact>
        <Fact name={text.by}>{visibleLine(by)}</Fact>
        <Fact name={text.uses}>{text.times(uses)}</Fact>
      </dl>
      <Fault text={fault} />
      <div class="actions">
        <button
          type="button"
          aria-label={placed(place, text.endLabel(rule, name))}
          disabled={isBusy}
          onClick={() => void send({ kind: 'end-allowance', allowance: id, ...(server && { server: server.key }) })}
        >
          {text.end}
        </button>
      </div>
    </article>
  );
}
