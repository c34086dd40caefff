import type { RemoteOptions } from './remote.ts';

export interface ListOptions extends RemoteOptions {
  readonly status?: string;
  readonly limit: number;
  readonly all?: true;
  readonly json?: true;
}

export interface ReadOptions extends RemoteOptions {
  readonly stderr?: true;
  readonly offset: number;
  readonly follow?: true;
  readonly raw?: true;
}

export interface KillOptions extends RemoteOptions {
  readonly signal: string;
}
