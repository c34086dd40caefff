import type { RemoteOptions } from './remote.ts';

/** The options of `agent3 exec`. */
export interface ExecOptions extends RemoteOptions {
  readonly timeout?: number;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly key?: string;
  /** False with `--no-stdin`. */
  readonly stdin: boolean;
  readonly detach?: true;
  readonly tty?: true;
}
