import { CODE_HEADER } from '../lib/errors.ts';

/** What a client can fail with. Each message says what is wrong and what to do, in one line for a person. */
export abstract class ClientFault extends Error {
  constructor(message: string) {
    super(message);
    this.name = new.target.name;
  }
}

/** Nothing was sent: nobody listens, the name is unknown, no route leads there. */
export class NoConnection extends ClientFault {}

/** The connection broke, or no answer came in time: the call may have arrived. */
export class ConnectionBroken extends ClientFault {}

/** TLS failed: nothing was sent. */
export class NotTrusted extends ClientFault {}

/** Something else than Agent3 answered: a proxy, another program. */
export class NotAgent3 extends ClientFault {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

/** Agent3 answered with an error. */
/** `error` of an answer to a token that is missing, wrong or over. */
export const UNAUTHORIZED = 'Unauthorized';

export class Refused extends ClientFault {
  constructor(
    message: string,
    readonly status: number,
    /** Which refusal it is, where the status does not say so. */
    readonly code: string | undefined,
    /** The agent does not take the token: 403 also says what its profile does not allow. */
    readonly isTokenRefused: boolean,
    /** After how many seconds a repeat makes sense, where it says so. */
    readonly retryAfterSeconds: number | undefined,
  ) {
    super(message);
  }
}

/** No session, or several, have the id that a person has shortened. */
export class UnknownSession extends ClientFault {}

/** Standard input cannot be passed on. */
export class InputFault extends ClientFault {}

/** A file cannot be copied: here, or because it is another by now. */
export class CopyFault extends ClientFault {}

/** A person gave up the wait for another attempt. */
export class GivenUp extends ClientFault {}

/** Output cannot be written here: the disk is full. */
export class OutputFault extends ClientFault {}

/** Nobody reads what is written to standard output (`agent3 exec … | head`). */
export class OutputClosed extends OutputFault {}

/** Codes of a request that never left. */
const UNSENT: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nobody listens there',
  ENOTFOUND: 'the name is unknown',
  EAI_AGAIN: 'the name cannot be looked up now',
  EHOSTUNREACH: 'no route leads there',
  ENETUNREACH: 'no route leads there',
  EADDRNOTAVAIL: 'no route leads there',
};

/** What made a request to `url` fail, from what `fetch` has thrown. */
export function faultOf(url: string, error: unknown): ClientFault {
  if (error instanceof ClientFault) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const reason = UNSENT[code];
  if (reason !== undefined) {
    return new NoConnection(
      `no connection to ${url}: ${reason} (${code}). Give the URL of the agent with --url or AGENT3_URL, and look whether it runs.`,
    );
  }
  if (code === 'EPROTO') {
    return new NotTrusted(
      `${url} does not speak TLS. An agent without a proxy in front of it is http://, not https://.`,
    );
  }
  if (/CERT|SIGNED|SIGNATURE|ISSUER|TLS|SSL/.test(code)) {
    return new NotTrusted(
      `the certificate of ${url} is not trusted (${code}), so nothing was sent. A CA of your own is trusted with NODE_EXTRA_CA_CERTS=/path/to/ca.pem.`,
    );
  }
  const text = error instanceof Error ? error.message.split('. ')[0] : String(error);
  return new ConnectionBroken(`the connection to ${url} broke: ${text}`);
}

/** What an answer that is no success says. `body` is its text. */
export function faultOfAnswer(url: string, status: number, headers: Headers, body: string): ClientFault {
  const location = headers.get('location');
  if (status >= 300 && status < 400 && location !== null) {
    return new NotAgent3(
      `${url} points to ${location}. The token is not sent there unasked; if that is the agent, give it as --url.`,
      status,
    );
  }
  const said = errorFields(body);
  if (said === undefined) {
    return new NotAgent3(
      `${url} answered ${status}, and not as Agent3 does. Look at the URL and at the proxy.`,
      status,
    );
  }
  const isTokenRefused = said.error === UNAUTHORIZED;
  const retryAfter = Number(headers.get('retry-after') ?? Number.NaN);
  const message = isTokenRefused
    ? `${url} does not take this token. Give the agent's own in AGENT3_API_TOKEN or with --token-file.`
    : [said.error, said.message].filter((part) => part !== '').join(': ');
  const code = headers.get(CODE_HEADER) ?? undefined;
  return new Refused(message, status, code, isTokenRefused, Number.isFinite(retryAfter) ? retryAfter : undefined);
}

/** The fields of an error of Agent3; undefined for what is none. */
function errorFields(body: string): { readonly error: string; readonly message: string } | undefined {
  try {
    const { error, message } = JSON.parse(body) as { readonly error?: unknown; readonly message?: unknown };
    if (typeof error !== 'string') return undefined;
    return { error, message: typeof message === 'string' ? message : '' };
  } catch {
    return undefined;
  }
}
