/** The fields an answer may have, by the wire contract. Which of them are there is for each test to say. */
export interface Answer {
  readonly stdout: string;
  readonly stderr: string;
  readonly exit_code: number | null;
  readonly session: string;
  readonly status: string;
  readonly duration_ms: number;
  readonly stdout_bytes: number;
  readonly stderr_bytes: number;
  readonly truncated: boolean;
  readonly omitted?: { readonly stdout?: Gap; readonly stderr?: Gap };
  readonly message?: string;
  readonly next_offset: number;
  readonly eof: boolean;
  readonly error: string;
  readonly version: string;
}

/** Where the part that an answer leaves out begins, and how many bytes it has. */
export interface Gap {
  readonly offset: number;
  readonly bytes: number;
}

/** One HTTP answer, read to its end. */
export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly body: Answer;
}

/** Reads `response`; a body that is no JSON becomes an empty object, so that a test shows the field it misses. */
export async function readReply(response: Response): Promise<Reply> {
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, body: parseAnswer(text) };
}

function parseAnswer(text: string): Answer {
  try {
    return JSON.parse(text) as Answer;
  } catch {
    return {} as Answer;
  }
}
