import { type CallContext, type OperationDeps, revalidate } from '../calls/context.ts';
import { type Confinement, confinementOf, requireSandbox } from '../commands/confinement.ts';
import { parsePath } from '../files/place.ts';
import { OperationNotAllowed } from '../lib/errors.ts';

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
  parsePath(path);
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
