import { rmSync } from 'node:fs';
import { Feed } from './attend.ts';
import { isTransient, retry } from './backoff.ts';
import { type CopyDeps, NEW_FILE, octal, putInPlace, requireSame } from './copy.ts';
import { CopyFault } from './faults.ts';
import { hashOf, openLocal, piecesOf, writeAt } from './local-file.ts';
import { type Order, readStream, startCommand } from './sessions.ts';

/*
 * Copies files between this machine and a server of a fleet. Such a server has no address for links, so the bytes pass
 * through the input and output of a command there.
 */

/** A pipe of Linux holds 64 KiB; Base64 makes 4 bytes of 3. */
const PIECE_BYTES = 49_152;

/** Writes standard input into a temporary file, and renames it when it is complete. */
const TAKE = `set -e; part=$TARGET.agent3-part.$$
trap 'rm -f -- "$part"' EXIT
cat > "$part"
[ "$(sha256sum < "$part" | cut -c 1-64)" = "$SHA256" ] || { echo 'it did not arrive completely' >&2; exit 1; }
if [ -e "$TARGET" ]; then chmod --reference="$TARGET" -- "$part"; else chmod "$MODE" -- "$part"; fi
mv -f -- "$part" "$TARGET"`;
/** Prints the mode, the size and the hash, a line each; then the bytes. */
const GIVE =
  'set -e; exec < "$SOURCE"; stat -L -c %a /dev/fd/0; stat -L -c %s /dev/fd/0; sha256sum < "$SOURCE" | cut -c 1-64; cat';
const HEAD_LINES = 3;

/** Copies a file to a server. Throws a `ClientFault`. */
export async function sendThrough(deps: CopyDeps, server: string, local: string, remote: string): Promise<void> {
  await using file = await openLocal(local, 'r');
  const { size, mode } = await file.stat();
  const env = { TARGET: remote, SHA256: await hashOf(file, size), MODE: octal(mode) };
  const session = await begin(deps, { server, cmd: TAKE, env, interactive: true });
  const backoff = deps.backoff();
  const pieces = piecesOf(file, 0, size, (_, at) => {
    backoff.reset();
    deps.progress(at, size);
  });
  await new Feed(deps.client, session, () => false).all(cut(pieces));
  await ended(deps, session);
}

/** Copies a file from a server, through a temporary file. Throws a `ClientFault`. */
export async function fetchThrough(deps: CopyDeps, server: string, remote: string, local: string): Promise<void> {
  const session = await begin(deps, { server, cmd: GIVE, env: { SOURCE: remote } });
  const part = `${local}.agent3-part`;
  const file = await openLocal(part, NEW_FILE);
  try {
    const hash = new Bun.CryptoHasher('sha256');
    let head: readonly string[] = [];
    let held = Buffer.alloc(0);
    let at = 0;
    for await (const bytes of readStream(deps.client, session, whole)) {
      let piece = bytes;
      if (head.length === 0) {
        held = Buffer.concat([held, bytes]);
        const lines = held.toString('latin1').split('\n', HEAD_LINES + 1);
        if (lines.length <= HEAD_LINES) continue;
        head = lines.slice(0, HEAD_LINES);
        piece = held.subarray(head.join('\n').length + 1);
      }
      await writeAt(file, piece, at);
      hash.update(piece);
      at += piece.length;
      deps.progress(at, Number(head[1]));
    }
    await ended(deps, session);
    const [mode = '600', , theirs] = head;
    requireSame(remote, theirs, hash.digest('hex'));
    await putInPlace(file, part, local, mode);
  } finally {
    await file.close().catch(() => {});
    rmSync(part, { force: true });
  }
}

const whole = { stream: 'stdout', offset: 0, follow: true, raw: true } as const;

async function begin({ client, backoff, say }: CopyDeps, order: Omit<Order, 'key'>): Promise<string> {
  const { session, waitsFor } = await startCommand(client, { ...order, key: crypto.randomUUID() }, backoff());
  if (waitsFor !== undefined) say(`waiting for approval: ${waitsFor} (session ${session})`);
  return session;
}

/** Waits for the end of the command. Throws `CopyFault` with its standard error when it failed. */
async function ended({ client }: CopyDeps, session: string): Promise<void> {
  let said = '';
  const errors = readStream(client, session, { ...whole, stream: 'stderr' });
  for (;;) {
    const { done, value } = await errors.next();
    if (!done) said += Buffer.from(value).toString();
    else if (value === 0) break;
    else throw new CopyFault(said.trim() || 'it was not copied');
  }
  await retry(() => client.call('close_session', { session }), isTransient);
}

async function* cut(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces)
    for (let at = 0; at < piece.length; at += PIECE_BYTES) yield piece.subarray(at, at + PIECE_BYTES);
}
