import { InvalidArguments } from '../core/errors.ts';
import { SESSION_MARK } from '../execution/environment.ts';
import { asUser, sandboxArgv, TRUSTED_PATH, trustedProgram } from '../execution/sandbox.ts';
import { type Confinement, demandFilter } from './confinement.ts';

/** What stands between the agent and a confined command. */
export interface Boundary {
  /** Before the words of the command. */
  readonly words: readonly string[];
  /** What the programs of it read, from descriptor 3 on. */
  readonly inputs: readonly Uint8Array[];
  /** Their environment: nothing that a client has sent, because they run with the rights of the agent. */
  readonly env: Readonly<Record<string, string>>;
  /** Their working directory; the command's is behind the boundary. */
  readonly cwd: string;
}

/** What a command starts with behind its boundary. */
export interface Behind {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** A file that it has to see, whatever is hidden. */
  readonly file: string | undefined;
}

/**
 * The boundary of a confined command: user, limits of files, sandbox. Undefined where its profile has none of them.
 * Throws `InvalidArguments` for an environment that does not pass it, `ProfileUnavailable` where a sandbox cannot be had.
 */
export function boundaryOf(confinement: Confinement | undefined, behind: Behind): Boundary | undefined {
  if (confinement === undefined) return undefined;
  const { sandbox, account, fileBytes, coreBytes } = confinement;
  const outer = [
    ...(account === undefined ? [] : asUser(account)),
    ...(fileBytes === undefined ? [] : [trustedProgram('prlimit'), `--fsize=${fileBytes}`, '--']),
    ...(coreBytes === undefined ? [] : [trustedProgram('prlimit'), `--core=${coreBytes}`, '--']),
  ];
  const own = { cwd: '/', env: { PATH: TRUSTED_PATH, [SESSION_MARK]: behind.env[SESSION_MARK] ?? '' } };
  if (sandbox !== undefined) {
    const words = [...outer, ...sandboxArgv(sandbox, behind.cwd, behind.file === undefined ? [] : [behind.file])];
    return { ...own, words, inputs: [demandFilter(sandbox), sandboxEnvironment(behind.env)] };
  }
  if (outer.length === 0) return undefined;
  return { ...own, words: [...outer, '/bin/sh', '-c', ENTER, behind.cwd], inputs: [exportsOf(behind.env)] };
}

/** Options of bwrap(1), which reads them where no list of processes shows them. */
function sandboxEnvironment(env: Readonly<Record<string, string>>): Uint8Array {
  const options = Object.entries(env).flatMap(([name, value]) => ['--setenv', name, value]);
  return Buffer.from(['--clearenv', ...options, ''].join('\0'));
}

/** Takes over environment and directory when it has become the user already, then the command. */
const ENTER = `eval "$(cat <&3)"; exec 3<&-
cd -- "$0" 2> /dev/null || { echo "agent3: not run: the user of this profile cannot enter the working directory" >&2; exit 126; }
exec "$@"`;

function exportsOf(env: Readonly<Record<string, string>>): Uint8Array {
  const lines = Object.entries(env).map(([name, value]) => {
    if (!/^[A-Za-z_]\w*$/.test(name)) {
      throw new InvalidArguments(
        `env has the name ${JSON.stringify(name.slice(0, 60))}: in the profile of this token, names have letters, digits and _ only.`,
      );
    }
    return `export ${name}='${value.replaceAll("'", "'\\''")}'`;
  });
  return Buffer.from(lines.join('\n'));
}
