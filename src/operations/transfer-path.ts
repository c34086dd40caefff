import { type CallContext, type OperationDeps, revalidate } from '../calls/context.ts';
import { isolationOf, openInSandbox, requireSandbox } from '../commands/isolation.ts';
import type { StartScript } from '../files/isolated.ts';
import { NOTHING_DONE, parsePath } from '../files/place.ts';
import type { Decision } from '../rules/rule.ts';

/** An open file, and its real path. */
interface Opened {
  readonly path: string;
  close(): void;
}

/** How the file of a link is opened. */
interface Opening<T extends Opened> {
  /** Judges these paths by the rules. Throws if they deny it. */
  judge(paths: readonly string[]): Promise<Decision>;
  /** With the rights of the agent. */
  openOwn(): T | Promise<T>;
  /** By a script in the isolation of the profile. */
  openIsolated(start: StartScript, isSandboxed: boolean): Promise<T>;
}

/**
 * Opens the file of a link as a command of this token could, and judges its path by the rules, as it was given and as
 * it really is. Throws `InvalidArguments` for an invalid path, `ProfileUnavailable`, `AccessLapsed`, and what `opening`
 * throws.
 */
export async function openAllowed<T extends Opened>(
  { access, clock, ownPaths, commands }: OperationDeps,
  context: CallContext,
  path: string,
  opening: Opening<T>,
): Promise<{ readonly file: T; readonly decision: Decision }> {
  parsePath(path);
  await opening.judge([path]);
  const { profile } = context;
  const isolation = profile.isPlain ? undefined : isolationOf(profile, ownPaths);
  if (isolation?.sandbox !== undefined) await requireSandbox(profile, isolation.sandbox, access, clock);
  revalidate(context, NOTHING_DONE);
  const file =
    isolation === undefined
      ? await opening.openOwn()
      : await openInSandbox(isolation.sandbox, () =>
          opening.openIsolated(
            (script, args) => commands.help(isolation, script, args),
            isolation.sandbox !== undefined,
          ),
        );
  try {
    return { file, decision: await opening.judge([path, file.path]) };
  } catch (error) {
    file.close();
    throw error;
  }
}
