/**
 * The fixed numbers of the wire contract, each with its unit and its reason.
 * What an owner may change is a setting: see `config.ts`.
 */

/** A request body larger than this is refused with 413. */
export const MAX_BODY_BYTES = 1_048_576;

/**
 * Bytes of request bodies that one token may send in a minute, or at once. They are in memory while a call works on
 * them, and stay in the record.
 */
export const MAX_TEXT_BYTES_PER_MINUTE = 64 * 1_048_576;

/** Calls that wait for their answers at once, of all tokens: each holds a connection, and often watches of inotify. */
export const MAX_CALLS = 600;

/** Bytes of bodies that running calls hold at once, of all tokens: each costs several times that in memory. */
export const MAX_HELD_BODY_BYTES = 16 * 1_048_576;

/** Longest command, in UTF-16 units: room for a script pasted whole. */
export const MAX_COMMAND_CHARS = 100_000;

/**
 * Longest single argument or environment string that Linux passes to a program, without its NUL.
 * Source: MAX_ARG_STRLEN in linux/binfmts.h, 32 pages of 4 KiB.
 */
export const MAX_ARGUMENT_BYTES = 131_071;

/**
 * Largest file that is read, changed or kept as a whole: it is in memory meanwhile. Parts of a larger one can be read.
 */
export const MAX_FILE_BYTES = 16 * 1_048_576;

/** Longest path on Linux, without its NUL. Source: PATH_MAX in linux/limits.h. */
export const MAX_PATH_BYTES = 4095;

/** Most variables a call may add to a command's environment. */
export const MAX_ENVIRONMENT_VARIABLES = 1_000;

/** Longest `key` that makes a repeated call safe. */
export const MAX_KEY_CHARS = 128;

/** For how long a `key` is remembered. */
export const KEY_LIFETIME_SECONDS = 86_400;

/** Sessions of all tokens that are kept at once: each takes up to 8 KB of memory. */
export const MAX_SESSIONS = 10_000;

/** Keys of one token that are remembered at once. A closed session with a key still takes 8 KB of the disk. */
export const MAX_KEYS_PER_TOKEN = 10_000;

/** Smallest budget a client may ask for with `max_output`. */
export const MIN_OUTPUT_BYTES = 256;

/** Shortest execution limit a client may ask for. */
export const MIN_TIMEOUT_SECONDS = 0.1;

/** A token shorter than this can be guessed. */
export const MIN_TOKEN_CHARS = 16;

/** An attacker who has the record may try keys without any limit. */
export const MIN_KEY_CHARS = 32;

/** Time that an answer needs besides its waiting: finding out why a command is silent takes 0.1 s. */
export const LOOK_SECONDS = 0.2;

/** Most of a stream in one server-sent event: what is masked in one turn. */
export const FOLLOW_PIECE_BYTES = 16_384;
/** A follower of a silent command gets a sign of life; proxies close connections that are silent for a minute. */
export const FOLLOW_SIGN_SECONDS = 10;
/** Open streams of sessions, of all tokens: each holds a connection and two watches of inotify. */
export const MAX_FOLLOWERS = 100;

/** Longest pattern of a search. */
export const MAX_PATTERN_CHARS = 1000;
/** A search that takes longer is stopped: 100 MB of lines take 2 s. */
export const SEARCH_SECONDS = 20;
/** Searches at once, of all tokens: each is a process of about 40 MB. */
export const MAX_SEARCHES = 4;

/** Longest `wait` of read_session: ChatGPT Actions time out after 45 s. */
export const MAX_WAIT_SECONDS = 40;

/** The part of the memory and of the processes of all commands that one command may use: the others still run. */
export const MEMORY_OF_ONE_COMMAND = 0.9;
export const PROCESSES_OF_ONE_COMMAND = 0.5;

/** Most bytes of variables, functions, aliases and options that a context keeps: nvm takes 150 KB. */
export const MAX_CONTEXT_BYTES = 524_288;
/** Variables, functions and aliases of the shell of a context at its end: writing more of them takes seconds. */
export const MAX_CONTEXT_NAMES = 2000;
/** Contexts of one token that are kept at once. */
export const MAX_CONTEXTS_PER_TOKEN = 16;
/** Patterns of paths: none has a NUL. */
export const ABSOLUTE_PATH = '^/[^\\x00]*$';
export const PATH_OR_HOME = '^(/|~/)[^\\x00]*$';

/** Patterns of URLs: of a host without a path, several of them, and any. */
export const HOST_URL = '^https?://[^\\s/?#]+/?$';
export const ORIGINS = '^https?://[^\\s/?#,]+(?:,https?://[^\\s/?#,]+)*$';
export const ANY_URL = '^https?://[^\\s]+$';

/** Where the console listens, as a pattern. */
export const LOOPBACK_OR_SOCKET = '^(?:/[^\\0]{1,106}|(?:127\\.0\\.0\\.1|localhost|\\[::1\\]):\\d{1,5})$';

/** The name of a context, as a pattern. */
export const CONTEXT_NAME = '^[A-Za-z0-9_.-]{1,64}$';

/** Most steps of a dialog, and the longest text of one. */
export const MAX_DIALOG_STEPS = 50;
export const MAX_SEND_CHARS = 4096;
/** Dialogs at once, of all tokens: each has a process of about 40 MB. */
export const MAX_DIALOGS = 8;
