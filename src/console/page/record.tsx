import { visibleLine } from '../../lib/visible.ts';
import type { PastLine } from '../shown-past.ts';
import { commandLine, describeMoment } from './format.ts';
import { words } from './words.ts';

/** Fields that have a place of their own, or say nothing to a person. */
const OWN = new Set([
  'seq',
  'time',
  'event',
  'cmd',
  'token',
  'session',
  'cmd_sha256',
  'stdout_sha256',
  'stderr_sha256',
]);

/** Lines of the record, as they are: nothing in them acts. */
export function RecordLines({ lines }: { lines: readonly PastLine[] }) {
  return (
    <ul class="list">
      {lines.map((line) => (
        <RecordLine key={line.seq} line={line} />
      ))}
    </ul>
  );
}

function RecordLine({ line }: { line: PastLine }) {
  const { past } = words;
  const { cmd, token, session } = line;
  const fields = Object.entries(line).filter(([name]) => !OWN.has(name));
  return (
    <li>
      <p class="muted">
        <span class="tag">{past.events[line.event] ?? visibleLine(line.event)}</span>{' '}
        {describeMoment(Date.parse(line.time))}
        {typeof token === 'string' && ` · ${visibleLine(token)}`}
      </p>
      {typeof cmd === 'string' && <code class="command whole">{commandLine(cmd)}</code>}
      {fields.length > 0 && (
        <p class="muted fields">
          {fields.map(([name, value]) => `${visibleLine(name)}: ${visibleLine(textOf(value))}`).join(' · ')}
        </p>
      )}
      {typeof session === 'string' && /^[0-9a-f-]{36}$/.test(session) && (
        <a class="button quiet" href={`#history/${session}`}>
          {past.open}
        </a>
      )}
    </li>
  );
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
