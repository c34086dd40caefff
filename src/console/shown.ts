import type { DoctorNote } from './doctor-note.ts';
/** What the console answers the page: see `../README.md`. */
export interface WaitingRequest {
  readonly session: string;
  readonly number: number;
  readonly asked_at: number;
  readonly expires_at: number;
  readonly token: string;
  readonly address: string;
  readonly profile: string;
  readonly cmd: string;
  readonly chars: number;
  readonly kind: 'command' | 'file';
  /** The run whose plan it is a part of. */
  readonly run: string | null;
  readonly reason: string;
}

export interface RunningCommand {
  readonly session: string;
  readonly token: string;
  readonly cmd: string;
  readonly started_at: number;
  readonly terminal: boolean;
  /** Of its terminal; null without one, or when that is closed. */
  readonly rows: number | null;
  readonly cols: number | null;
  /** Who has taken its terminal over, and types; `order` is that of the take-over. */
  readonly typist: null | { readonly order: string; readonly by: string; readonly since: number };
  readonly background: boolean;
  readonly cpu_ms: number | null;
  readonly memory_bytes: number | null;
  readonly stdout_bytes: number;
  readonly stderr_bytes: number;
  readonly status: string;
}

export interface EndedCommand {
  readonly session: string;
  readonly token: string;
  readonly cmd: string;
  readonly status: string;
  readonly exit_code: number | null;
  readonly ended_at: number;
  readonly duration_ms: number;
}

/** What one rule asks of one token in one directory, until a moment. */
export interface ShownAllowance {
  readonly id: string;
  readonly token: string;
  readonly profile: string;
  readonly rule: number;
  readonly words: string;
  readonly cwd: string;
  readonly until: number;
  readonly by: string;
  readonly uses: number;
}

/** A plan of a `run_on` that waits for one approval. */
export interface WaitingPlan {
  readonly run: string;
  /** Its digest. */
  readonly plan: string;
  readonly asked_at: number;
  readonly token: string;
  readonly cmd: string;
  /** In short: web[1-3]. */
  readonly servers: readonly string[];
  readonly count: number;
  /** Servers whose requests wait now; the others of it ask when these are done. */
  readonly waiting: readonly string[];
  readonly decided: null | 'approve' | 'deny';
  /** Servers that do not take what was decided. */
  readonly refused: readonly { readonly server: string; readonly why: string }[];
}

/** Servers that ran the command first, and what they wrote. */
export interface CanaryGroup {
  readonly servers: readonly string[];
  readonly exit_code: number | null;
  readonly status?: string;
  readonly stdout?: string;
  readonly stderr?: string;
  readonly diff?: string;
  readonly omitted_chars?: number;
}

export interface State {
  readonly host: string;
  /** The name of this hub in its fleet; undefined: it is not a hub. */
  readonly hub?: string;
  readonly version: string;
  readonly now: number;
  readonly user: string;
  readonly root_full: boolean;
  readonly development: boolean;
  readonly frozen: null | {
    readonly since: number;
    /** When somebody has frozen again what was frozen. */
    readonly again?: number;
    readonly by: string;
    readonly reason: string;
    readonly by_signals: boolean;
  };
  readonly waiting: readonly WaitingRequest[];
  /** Of a hub. */
  readonly plans: readonly WaitingPlan[];
  readonly running: readonly RunningCommand[];
  readonly ended: readonly EndedCommand[];
  readonly allowances: readonly ShownAllowance[];
}

export type Stream = 'stdout' | 'stderr';

export interface Piece {
  readonly session: string;
  readonly stream: Stream;
  readonly from: number;
  readonly base64: string;
  readonly size: number;
}

export interface Watched {
  readonly version: number;
  readonly state?: State;
  readonly pieces: readonly Piece[];
  readonly ended: readonly string[];
}

export interface Client {
  readonly name: string;
  readonly kind: 'token' | 'grant';
  readonly made: string;
  readonly profile: string;
  readonly expires_at: number | null;
  readonly last_used_at: number | null;
  readonly addresses: readonly string[];
  readonly client: string | null;
  readonly revocable: boolean;
  /** Who has made it at the console; null: root's terminal. */
  readonly made_by: string | null;
  /** Of a grant whose client is not kept yet. */
  readonly sign_in: SignInState | null;
}

/** A one-time code that waits for its client, or a client that waits for the yes to it. */
export interface SignInState {
  /** Until when the code counts, or somebody may say yes. */
  readonly until: number;
  /** Who has come: its name, where its answers go, and from where it came. */
  readonly arrived: { readonly client: string; readonly redirect: string; readonly address: string } | null;
}

/** Who has access, and what somebody needs to know to give it. */
export interface Clients {
  readonly clients: readonly Client[];
  readonly profiles: readonly { readonly name: string; readonly description: string }[];
  /** The URL that a client is given to sign in; null: clients cannot sign in. */
  readonly url: string | null;
}

export interface Person {
  readonly name: string;
  readonly until: number;
  readonly passkey: boolean;
}

export interface Hello {
  readonly rp_id: string;
  readonly now: number;
  readonly challenge: string;
}

/** What the view of the server shows: sizes in MiB, or in bytes where the name says so. */
export interface Server {
  readonly hostname: string;
  readonly os: string;
  readonly kernel: string;
  readonly architecture: string;
  readonly version: string;
  readonly user: string;
  /** When the agent was started, and the machine. */
  readonly started_at: number;
  readonly uptime_seconds: number;
  readonly cpus: number;
  readonly load: readonly number[];
  readonly memory_mib: { readonly total: number; readonly available: number };
  /** Of the agent alone. */
  readonly agent_bytes: number;
  readonly disks: readonly { readonly path: string; readonly total_mib: number; readonly free_mib: number }[];
  readonly limits: {
    readonly running: number;
    readonly background_seconds: number;
    readonly sessions_bytes: number;
    readonly command_memory_bytes: number | null;
  };
  /** Null: doctor has not run here. */
  readonly doctor: DoctorNote | null;
}
