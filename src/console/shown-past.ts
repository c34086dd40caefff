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

/** A change of a file. A text of a hash is empty where there is no file. */
export interface PastChange {
  readonly change: string;
  readonly token: string;
  readonly op: string;
  readonly path: string;
  readonly at: number;
  readonly before_bytes: number | null;
  readonly after_bytes: number | null;
}

export interface PastChanges {
  /** The newest first. */
  readonly changes: readonly PastChange[];
  readonly next: string | null;
  readonly tokens: readonly string[];
}

/** All that a person sees of a change before they undo it. The order of an undo has the digest of its canonical form. */
export interface ShownChange extends PastChange {
  /** SHA-256 of what the file had, got and has now. */
  readonly before: string;
  readonly after: string;
  readonly now: string;
  /** From what it had to what it has now; where that is not known, a sentence. */
  readonly diff: string;
  /** Why it cannot be undone; empty when it can. */
  readonly obstacle: string;
}
