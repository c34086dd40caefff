/** What the console answers the page of what was: see `README.md`. Times are milliseconds since the epoch. */
export interface PastSession {
  readonly session: string;
  readonly token: string;
  readonly profile: string;
  readonly cmd: string;
  readonly status: string;
  readonly exit_code: number | null;
  readonly started_at: number;
  readonly ended_at: number | null;
  readonly duration_ms: number | null;
  readonly stdout_bytes: number;
  readonly stderr_bytes: number;
  readonly terminal: boolean;
}

export interface PastSessions {
  /** The newest first. */
  readonly sessions: readonly PastSession[];
  /** `before` of the next question; null: there are no more. */
  readonly next: string | null;
  /** Sessions from before have expired; null: none is kept. */
  readonly kept_since: number | null;
  readonly tokens: readonly string[];
}

export interface SessionDetails extends PastSession {
  /** `cmd` is the beginning of the command. */
  readonly is_cut: boolean;
  readonly cwd: string;
  readonly address: string;
  readonly look: boolean;
  /** Processes that it has left running. */
  readonly survivors: number;
  readonly decision: { readonly action: string; readonly reason: string; readonly by: string } | null;
  readonly stopped_by: string;
  readonly rows: number | null;
  readonly cols: number | null;
  /** It can be played back with its timing. */
  readonly has_timing: boolean;
}

export interface Part {
  readonly base64: string;
  readonly size: number;
}

/** A line of the record: texts are cut, a signature is `true`. */
export interface PastLine {
  readonly seq: number;
  readonly time: string;
  readonly event: string;
  readonly [field: string]: unknown;
}

export interface PastLines {
  readonly lines: readonly PastLine[];
  readonly next: number | null;
  readonly back_to: string | null;
  /** There is no record on this server. */
  readonly missing: boolean;
}
