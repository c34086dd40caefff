import { type CallContext, type OperationDeps, revalidate } from '../calls/context.ts';
import { type Confinement, confinementOf, requireSandbox } from '../commands/confinement.ts';
import { InvalidArguments, OperationNotAllowed } from '../lib/errors.ts';
import { MAX_PATH_BYTES } from '../lib/limits.ts';

/** A file that is open, and where it really is. */
interface Opened {
  readonly path: string;
  close(): void;
}

/**
 * Opens the file of a link as a command of this token could: `open` does it, in what holds the commands of the profile,
 * or with the rights of the agent. `command` is what rules judge, with the path as it was given and as it really is.
 * Throws `InvalidArguments` for what is no path, `OperationNotAllowed` where rules do not allow it, `ProfileUnavailable`,
 * `AccessLapsed`, and what `open` throws.
 */
export async function openAllowed<T extends Opened>(
  deps: OperationDeps,
  context: CallContext,
  path: string,
  command: (quoted: string) => string,
  open: (confinement: Confinement | undefined) => T | Promise<T>,
): Promise<T> {
  requirePath(path);
  const { profile } = context;
  const confinement = profile.isPlain ? undefined : confinementOf(profile, deps.ownPaths);
  await judge(deps, context, command(quoted(path)));
  if (confinement?.sandbox !== undefined) await requireSandbox(profile, confinement.sandbox, deps.access, deps.clock);
  revalidate(context, ', so no link was made');
  const file = await open(confinement);
  try {
    await judge(deps, context, command(quoted(file.path)));
    return file;
  } catch (error) {
    file.close();
    throw error;
  }
}

async function judge({ limits, home }: OperationDeps, { profile }: CallContext, cmd: string): Promise<void> {
  const { rules, hasRules, sandbox } = profile;
  if (!hasRules) return;
  const { decide } = await import('../rules/decide.ts');
  const cwd = sandbox?.directory ?? home;
  const { action, reason } = decide(rules, { cmd, cwd, shell: limits.shell, env: {}, stdin: '', isOpen: false });
  if (action === 'allow') return;
  throw new OperationNotAllowed(
    action === 'deny'
      ? `The rules of this token deny it: ${reason}. No link was made.`
      : `A person has to approve this (${reason}), and cannot approve bytes that are not here yet. No link was made. Use a path that needs no approval, then move the file with shell: a person is asked about that.`,
  );
}

const quoted = (path: string): string => `'${path.replaceAll("'", "'\\''")}'`;

function requirePath(path: string): void {
  if (!path.startsWith('/')) throw new InvalidArguments('path must be absolute: it begins with /.');
  if (path.includes('\0')) throw new InvalidArguments('path must not contain a NUL character.');
  if (!path.isWellFormed()) throw new InvalidArguments('path has half of a UTF-16 pair, which is no text.');
  if (Buffer.byteLength(path) > MAX_PATH_BYTES)
    throw new InvalidArguments(`path is longer than Linux takes (${MAX_PATH_BYTES} bytes).`);
}
