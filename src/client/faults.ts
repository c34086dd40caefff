import { CODE_HEADER } from '../lib/errors.ts';

/** An error of a client. Its message says on one line what is wrong and what to do. */
export abstract class ClientFault extends Error {
  constructor(message: string) {
    super(message);
    this.name = new.target.name;
  }
}

/** Nothing was sent: no program listens, the name is unknown, or there is no route. */
export class NoConnection extends ClientFault {}

/** The connection broke, or no answer came in time. The call may have arrived. */
export class ConnectionBroken extends ClientFault {}

/** TLS failed: nothing was sent. */
export class NotTrusted extends ClientFault {}

/** Another program than Agent3 answered, such as a proxy. */
export class NotAgent3 extends ClientFault {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

/** `error` of an answer to a missing, wrong or expired token. */
export const UNAUTHORIZED = 'Unauthorized';

/** Agent3 answered with an error. */
export class Refused extends ClientFault {
  constructor(
    message: string,
    readonly status: number,
    /** The kind of refusal, where the status does not say it. */
    readonly code: string | undefined,
    /** Whether the agent refuses the token. A 403 may also come from its profile. */
    readonly isTokenRefused: boolean,
    /** Seconds until a retry makes sense, where the agent says so. */
    readonly retryAfterSeconds: number | undefined,
  ) {
    super(message);
  }
}

/** A shortened id matches no session, or several. */
export class UnknownSession extends ClientFault {}

/** Standard input cannot be passed on. */
export class InputFault extends ClientFault {}

/** A file cannot be copied: a local error, or it has changed meanwhile. */
export class CopyFault extends ClientFault {}

/** A person interrupted the wait for another attempt. */
export class GivenUp extends ClientFault {}

/** The output cannot be written, for example because the disk is full. */
export class OutputFault extends ClientFault {}

/** The reader of standard output has gone (`agent3 exec … | head`). */
export class OutputClosed extends OutputFault {}

/** Codes of requests that were not sent. */
const UNSENT: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'no program listens there',
  ENOTFOUND: 'the name is unknown',
  EAI_AGAIN: 'the name cannot be resolved now',
  EHOSTUNREACH: 'there is no route to it',
  ENETUNREACH: 'there is no route to it',
  EADDRNOTAVAIL: 'there is no route to it',
};

/** Converts an error of `fetch` into the fault of a request to `url`. */
export function faultOf(url: string, error: unknown): ClientFault {
  if (error instanceof ClientFault) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const reason = UNSENT[code];
  if (reason !== undefined) {
    return new NoConnection(
      `no connection to ${url}: ${reason} (${code}). Check the URL (--url or AGENT3_URL), and that the agent runs.`,
    );
  }
  if (code === 'EPROTO') {
    return new NotTrusted(`${url} does not speak TLS. For an agent without a proxy, use http:// instead of https://.`);
  }
  if (/CERT|SIGNED|SIGNATURE|ISSUER|TLS|SSL/.test(code)) {
    return new NotTrusted(
      `the certificate of ${url} is not trusted (${code}), so nothing was sent. To trust your own CA: NODE_EXTRA_CA_CERTS=/path/to/ca.pem.`,
    );
  }
  const text = error instanceof Error ? error.message.split('. ')[0] : String(error);
  return new ConnectionBroken(`the connection to ${url} broke: ${text}`);
}

/** Converts an unsuccessful answer into a fault. `body` is its text. */
export function faultOfAnswer(url: string, status: number, headers: Headers, body: string): ClientFault {
  const location = headers.get('location');
  if (status >= 300 && status < 400 && location !== null) {
    return new NotAgent3(
      `${url} redirects to ${location}, and the token was not sent there. If that is the agent, give it as --url.`,
      status,
    );
  }
  const said = errorFields(body);
  if (said === undefined) {
    return new NotAgent3(`${url} answered ${status}, but not as Agent3. Check the URL and the proxy.`, status);
  }
  const isTokenRefused = said.error === UNAUTHORIZED;
  const retryAfter = Number(headers.get('retry-after') ?? Number.NaN);
  const message = isTokenRefused
    ? `${url} refuses this token. Give a token of this agent in AGENT3_API_TOKEN or with --token-file.`
    : [said.error, said.message].filter((part) => part !== '').join(': ');
  const code = headers.get(CODE_HEADER) ?? undefined;
  return new Refused(message, status, code, isTokenRefused, Number.isFinite(retryAfter) ? retryAfter : undefined);
}

/** Parses an error of Agent3; undefined for anything else. */
function errorFields(body: string): { readonly error: string; readonly message: string } | undefined {
  try {
    const { error, message } = JSON.parse(body) as { readonly error?: unknown; readonly message?: unknown };
    if (typeof error !== 'string') return undefined;
    return { error, message: typeof message === 'string' ? message : '' };
  } catch {
    return undefined;
  }
}
