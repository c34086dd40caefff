import { type CallContext, type OperationDeps, revalidate } from '../calls/context.ts';
import { confinementOf, requireSandbox } from '../commands/confinement.ts';
import type { StartScript } from '../files/confined.ts';
import { NOTHING_DONE, parsePath } from '../files/place.ts';
import type { Decision } from '../rules/rule.ts';

/** A file that is open, and where it really is. */
interface Opened {
  readonly path: string;
  close(): void;
}

/** How the file of a link is opened. */
interface Opening<T extends Opened> {
  /** What the rules say to these paths. Throws where they deny it. */
  judge(paths: readonly string[]): Promise<Decision>;
  /** With the rights of the agent. */
  openOwn(): T | Promise<T>;
  /** By a script in what holds the commands of the profile. */
  openConfined(start: StartScript, isSandboxed: boolean): Promise<T>;
}

/**
 * Opens the file of a link as a command of this token could, with what the rules say to the path as it was given and as it
 * really is. Throws `InvalidArguments` for what is no path, `ProfileUnavailable`, `AccessLapsed`, and what `opening` throws.
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
  const confinement = profile.isPlain ? undefined : confinementOf(profile, ownPaths);
  if (confinement?.sandbox !== undefined) await requireSandbox(profile, confinement.sandbox, access, clock);
  revalidate(context, NOTHING_DONE);
  const file =
    confinement === undefined
      ? await opening.openOwn()
      : await opening.openConfined(
          (script, args) => commands.help(confinement, script, args),
          confinement.sandbox !== undefined,
        );
  try {
    return { file, decision: await opening.judge([path, file.path]) };
  } catch (error) {
    file.close();
    throw error;
  }
}
