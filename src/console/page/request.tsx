import { useCallback, useEffect, useMemo, useState } from 'preact/hooks';
import type { ApprovalRequest } from '../../access/approval-request.ts';
import { hasRightToLeft, likeSigns, mixedWords, visibleLine } from '../../lib/visible.ts';
import { AllowFor } from './allowances.tsx';
import { DenyForm, useDenying } from './deny.tsx';
import type { ReadRequest } from './desk.ts';
import { describeSpan } from './format.ts';
import { Fact, Fault, useDesk, useNow, useRead } from './parts.tsx';
import { foreignName, fullName, placed, type WaitingItem } from './servers.ts';
import { isLong, TextBlock } from './text.tsx';
import { words } from './words.ts';

/** A text of the client in a request. */
interface Part {
  readonly name: string;
  readonly text: string;
  readonly isDiff?: boolean;
}

/** The texts of a request, in the order in which they are shown. */
function partsOf({ cmd, part, env, stdin, file, context, dialog = [] }: ApprovalRequest): Part[] {
  const { request } = words;
  const some = (name: string, text: string | undefined): Part[] => (text ? [{ name, text }] : []);
  return [
    { name: file === undefined ? request.command : request.change, text: cmd },
    ...some(request.part, part === cmd.trim() ? '' : part),
    ...(file?.diff ? [{ name: request.difference, text: file.diff, isDiff: true }] : []),
    ...some(
      request.variables,
      Object.entries(env)
        // One line each: no value can look like another variable.
        .map(([name, value]) => visibleLine(`${name}=${value}`))
        .join('\n'),
    ),
    ...some(request.context(visibleLine(context?.name ?? '')), context?.brings),
    ...some(request.input, stdin),
    ...dialog.flatMap(({ expect, send }, index) => [
      { name: request.step(index + 1, dialog.length), text: expect },
      { name: request.types(index + 1), text: send },
    ]),
  ];
}

function notesOn({ cmd, cwd, env, stdin, file, context, dialog = [] }: ApprovalRequest): string[] {
  const all = [cmd, cwd, ...Object.entries(env).flat(), context?.brings ?? '', file?.path ?? '', file?.diff ?? ''];
  return notesOnTexts([...all, ...dialog.map(({ send }) => send)], stdin);
}

/** What of these texts looks like something else; `input` is not a command. */
export function notesOnTexts(texts: readonly string[], input = ''): string[] {
  const whole = texts.join('\n');
  const [mixed, signs] = [mixedWords(whole), likeSigns(whole)];
  return [
    ...(mixed.length === 0 ? [] : [words.request.mixed(mixed.join(', '))]),
    ...(signs.length === 0 ? [] : [words.request.signs(signs.join(', '))]),
    ...(hasRightToLeft(`${whole}\n${input}`) ? [words.request.rightToLeft] : []),
  ];
}

/** Where a request is in the hands of the person. */
export interface Progress {
  readonly read: ReadRequest | undefined;
  /** The long texts whose end was not on the screen yet. */
  readonly unread: readonly string[];
  /** It names another server than the one that it came from. */
  readonly isForeign: boolean;
}

interface RequestCardProps {
  readonly item: WaitingItem;
  readonly mayApprove: boolean;
  readonly isSelected: boolean;
  readonly status: { readonly busy: string | undefined; readonly fault: string | undefined };
  readonly onSelect: (isSelected: boolean) => void;
  readonly onProgress: (progress: Progress) => void;
  readonly onApprove: () => void;
  readonly onAllow: (minutes: number) => void;
  readonly onDeny: (why: string) => void;
}

/** One request: all of it, and the decision below. */
export function RequestCard(props: RequestCardProps) {
  const { item, isSelected, status, onSelect, onProgress, onApprove, onAllow, onDeny } = props;
  const { server, place, number } = item;
  const { read, failed } = useRequest(item.session, server?.key);
  const foreign = foreignName(server, read?.request.server);
  const [done, setDone] = useState<ReadonlySet<string>>(new Set());
  const parts = useMemo(() => (read === undefined ? [] : partsOf(read.request)), [read]);
  const unread = useMemo(
    () => parts.filter(({ name, text }) => isLong(text) && !done.has(name)).map(({ name }) => name),
    [parts, done],
  );
  const isForeign = foreign !== undefined;
  useEffect(() => onProgress({ read, unread, isForeign }), [read, unread, isForeign]);
  // Of what goes away and comes back, nobody has seen what it has then.
  useEffect(() => () => onSelect(false), []);
  const markRead = useCallback((name: string) => setDone((names) => new Set([...names, name])), []);
  const title = `request-${item.id}`;
  return (
    <article class="card" aria-labelledby={title}>
      <header>
        <label class="tick">
          <input
            type="checkbox"
            checked={isSelected}
            disabled={status.busy !== undefined}
            aria-label={placed(place, words.request.select(number))}
            onChange={(event) => onSelect(event.currentTarget.checked)}
          />
        </label>
        <h2 id={title}>
          {place !== undefined && <span class="place">{place}</span>} {words.request.number(number)}
        </h2>
        <TimeLeft until={item.expires_at} />
      </header>
      {read === undefined ? (
        <p class="muted">{failed ? words.request.loadFailed : words.loading}</p>
      ) : (
        <>
          {foreign !== undefined && <p class="fault">{words.fleet.foreign(visibleLine(foreign))}</p>}
          <Body
            request={read.request}
            server={server === undefined ? read.request.server : fullName(server)}
            parts={parts}
            onRead={markRead}
          />
        </>
      )}
      <Decision
        item={item}
        request={read?.request}
        unread={unread}
        mayApprove={props.mayApprove && !isForeign}
        status={status}
        onApprove={onApprove}
        onAllow={onAllow}
        onDeny={onDeny}
      />
    </article>
  );
}

function useRequest(session: string, server: string | undefined) {
  const desk = useDesk();
  return useRead(useCallback(() => desk.request(session, server), [desk, session, server]));
}

function TimeLeft({ until }: { until: number }) {
  const left = until - useNow();
  return <p class="left">{left < 1000 ? words.request.over : words.request.expires(describeSpan(left))}</p>;
}

interface BodyProps {
  readonly request: ApprovalRequest;
  /** Which server it is for. */
  readonly server: string | undefined;
  readonly parts: readonly Part[];
  readonly onRead: (name: string) => void;
}

function Body({ request, server, parts, onRead }: BodyProps) {
  const { token, profile, address, user, cwd, input, limit_seconds, reason, env, stdin, context } = request;
  const text = words.request;
  const [first, ...others] = parts;
  const asking = others.find(({ name }) => name === text.part);
  const rest = others.filter((one) => one !== asking);
  const block = (one: Part) => <TextBlock key={one.name} {...one} onRead={() => onRead(one.name)} />;
  const notes = useMemo(() => notesOn(request), [request]);
  return (
    <>
      {first !== undefined && block(first)}
      <Notes notes={notes} />
      <dl class="facts">
        <Fact name={text.asked}>{visibleLine(reason)}</Fact>
      </dl>
      {asking !== undefined && block(asking)}
      <dl class="facts">
        {server !== undefined && <Fact name={text.server}>{visibleLine(server)}</Fact>}
        <Fact name={text.by}>{`${visibleLine(token)} ${text.from} ${visibleLine(address)}`}</Fact>
        <Fact name={text.profile}>{visibleLine(profile)}</Fact>
        <Fact name={text.user}>{visibleLine(user)}</Fact>
        <Fact name={text.directory}>
          <code>{visibleLine(cwd)}</code>
        </Fact>
        <FileFacts file={request.file} />
        <Fact name={text.limit}>{text.seconds(limit_seconds)}</Fact>
        {Object.keys(env).length === 0 && <Fact name={text.variables}>{text.noVariables}</Fact>}
        {stdin === '' && <Fact name={text.input}>{text.noInput}</Fact>}
        {context?.brings === '' && <Fact name={text.contextLabel}>{text.contextEmpty(visibleLine(context.name))}</Fact>}
      </dl>
      {rest.map(block)}
      {input !== 'closed' && <p class="note">{text.later}</p>}
    </>
  );
}

function FileFacts({ file }: { file: ApprovalRequest['file'] | undefined }) {
  if (file === undefined) return null;
  const text = words.request;
  const sum = (value: string) => (value === '' ? text.noFile : <code>{value}</code>);
  return (
    <>
      <Fact name={text.file}>
        <code>{visibleLine(file.path)}</code>
      </Fact>
      <Fact name={text.mode}>{visibleLine(file.mode)}</Fact>
      {file.owner !== '' && <Fact name={text.owner}>{visibleLine(file.owner)}</Fact>}
      <Fact name={text.before}>{sum(file.before_sha256)}</Fact>
      <Fact name={text.after}>{sum(file.after_sha256)}</Fact>
      {file.diff === '' && <Fact name={text.difference}>{text.same}</Fact>}
    </>
  );
}

export function Notes({ notes }: { notes: readonly string[] }) {
  if (notes.length === 0) return null;
  return (
    <div class="note">
      <strong>{words.request.notes}</strong>
      <ul>
        {notes.map((note) => (
          <li key={note}>{note}</li>
        ))}
      </ul>
    </div>
  );
}

interface DecisionProps extends Pick<RequestCardProps, 'mayApprove' | 'status' | 'onApprove' | 'onAllow' | 'onDeny'> {
  readonly item: WaitingItem;
  /** Undefined: it was not read yet. */
  readonly request: ApprovalRequest | undefined;
  readonly unread: readonly string[];
}

function Decision(props: DecisionProps) {
  const { item, request: asked, unread, mayApprove, status, onApprove, onAllow, onDeny } = props;
  const { number, place, server } = item;
  const { isDenying, setDenying, button } = useDenying();
  const { request } = words;
  const isBusy = status.busy !== undefined;
  const isReady = asked !== undefined;
  const isClosed = !isReady || !mayApprove || unread.length > 0 || isBusy;
  return (
    <footer>
      {isReady && mayApprove && unread.length > 0 && <p class="muted">{request.readFirst(unread.join(', '))}</p>}
      {isBusy && <p role="status">{status.busy}</p>}
      <Fault text={status.fault} />
      {isDenying ? (
        <DenyForm isBusy={isBusy} onDeny={onDeny} onCancel={() => setDenying(false)} />
      ) : (
        <div class="actions">
          <button
            type="button"
            class="primary"
            aria-label={placed(place, request.approveLabel(number))}
            disabled={isClosed}
            onClick={onApprove}
          >
            {request.approve}
          </button>
          <button
            type="button"
            ref={button}
            aria-label={placed(place, request.denyLabel(number))}
            disabled={!isReady || isBusy}
            onClick={() => setDenying(true)}
          >
            {request.deny}
          </button>
        </div>
      )}
      {server !== undefined && !isClosed && <p class="muted">{words.fleet.signFor(visibleLine(server.name))}</p>}
      {asked !== undefined && !isDenying && (
        <AllowFor request={asked} item={item} disabled={isClosed} onAllow={onAllow} />
      )}
    </footer>
  );
}
