import { KIND_NAMES } from '../access/client-kinds.ts';
import { type GrantRecord, normalizeCode } from '../access/grant.ts';
import { noteNothing } from '../http/auth.ts';
import { type HttpExchange, urlOf } from '../http/exchange.ts';
import type { SignInAnswer } from '../http/sign-in.ts';
import { AgentError, GuessingRefused, Unauthorized } from '../lib/errors.ts';
import { html, redirect } from './answers.ts';
import { type Asked, answerUrl, PageFault, RedirectFault, readAsked } from './authorize.ts';
import { type ClientDocuments, DocumentFault, isDocumentUrl } from './client-document.ts';
import { type Client, kindsOf, knownClient, registeredClient, staysLocal } from './clients.ts';
import { onRecord } from './decisions.ts';
import type { ConnectDeps } from './deps.ts';
import { consentPage, faultPage } from './page.ts';
import { type Texts, textsFor } from './texts.ts';

/** `/oauth/authorize`: the page on which the owner enters the one-time code. It keeps no state between requests. */
export class ConsentRoute {
  constructor(
    private readonly deps: ConnectDeps,
    private readonly documents: ClientDocuments,
  ) {}

  async answer(exchange: HttpExchange, read: () => Promise<string>): Promise<SignInAnswer> {
    const { request, method } = exchange;
    const isForm = method === 'POST';
    const parameters = isForm ? new URLSearchParams(await read()) : urlOf(request.url).searchParams;
    const texts = this.#texts(parameters.get('ui_locales'), request.headers.get('accept-language'));
    const open = this.deps.grants.openCodes();
    try {
      const asked = await readAsked(parameters, this.deps.issuer, (id) => this.#client(id, open.length > 0, texts));
      if (!isForm) return html(200, consentPage(texts, asked, open));
      return this.#decide(exchange.address, parameters, asked, texts);
    } catch (error) {
      if (error instanceof RedirectFault) return this.#sendBack(texts, error, open.length > 0);
      if (!(error instanceof PageFault)) throw error;
      this.deps.strangers.count('refused requests');
      return html(400, faultPage(texts, error.message));
    }
  }

  /** A code of another key changes the texts whatever is entered, so that they reveal nothing about the entered code. */
  #texts(uiLocales: string | null, acceptLanguage: string | null): Texts {
    const texts = textsFor(uiLocales, acceptLanguage);
    if (!this.deps.grants.hasCodeOfAnotherKey) return texts;
    return { ...texts, noCode: texts.otherKey, wrongCode: `${texts.wrongCode} ${texts.otherKey}` };
  }

  /** Returns the client of an id. Throws `PageFault`. */
  async #client(id: string, isAwaited: boolean, texts: Texts): Promise<Client> {
    const client = knownClient(id) ?? registeredClient(this.deps.key, id);
    if (client !== undefined) return client;
    if (!isDocumentUrl(id)) throw new PageFault('This server does not know client_id. Add the server again there.');
    if (!isAwaited) throw new PageFault(texts.noCode);
    try {
      return await this.documents.client(id);
    } catch (error) {
      if (!(error instanceof DocumentFault)) throw error;
      throw new PageFault(`The program that asks cannot be identified: ${error.message}.`);
    }
  }

  /** Redirects an error only to known places, or while a code waits, so that strangers cannot misuse the redirect. */
  #sendBack(texts: Texts, fault: RedirectFault, isAwaited: boolean): SignInAnswer {
    const { client, redirectUri, state, code, message } = fault;
    const url = answerUrl(redirectUri, { error: code, error_description: message }, state, this.deps.issuer);
    if (client.isKnown || staysLocal(redirectUri) || isAwaited) return redirect(url);
    return html(400, faultPage(texts, `${code}: ${message}.`, { url, host: new URL(redirectUri).host }));
  }

  /** Handles the form, of the owner or of anyone who was sent here. Throws `RedirectFault` for a refusal. */
  #decide(address: string, parameters: URLSearchParams, asked: Asked, texts: Texts): SignInAnswer {
    const { grants, issuer, strangers } = this.deps;
    const { client, redirectUri, state, scope, challenge } = asked;
    const back = (answer: Readonly<Record<string, string>>): SignInAnswer =>
      redirect(answerUrl(redirectUri, answer, state, issuer));
    const again = (status: number, fault: string, more: Readonly<Record<string, string>> = {}): SignInAnswer => {
      const page = html(status, consentPage(texts, asked, grants.openCodes(), fault));
      return { ...page, headers: { ...page.headers, ...more } };
    };
    const isDenied = parameters.get('decision') === 'deny';
    const codes = parameters.getAll('code');
    const kinds: readonly string[] = kindsOf(client, redirectUri);
    const grant = normalizeCode(codes.join('')) === '' ? undefined : this.#grantOf(codes, address);
    if (grant instanceof AgentError) strangers.count('wrong codes');
    if (isDenied) {
      const why = this.#cancel(grant, kinds, address);
      throw new RedirectFault('access_denied', why, client, redirectUri, state);
    }
    if (grant === undefined) return again(403, texts.emptyCode);
    if (grant instanceof GuessingRefused) return again(grant.status, texts.tooManyTries, grant.headers);
    if (grant instanceof AgentError) return again(grant.status, texts.wrongCode);
    if (!kinds.includes(grant.grant.client)) {
      const more = { client: client.id, redirect: redirectUri, address };
      grants.deps.trail.grant('refused: made for another kind of client', onRecord(grant), more);
      grants.countWrongCode(grant, { address, kinds: [...kinds] });
      const names: Readonly<Record<string, string>> = KIND_NAMES;
      return again(403, texts.wrongClient(names[grant.grant.client] ?? grant.grant.client, kinds));
    }
    const clientName = client.name === '' ? new URL(redirectUri).host : client.name;
    return back({
      code: grants.consent(grant, { clientId: client.id, clientName, redirectUri, scope, challenge, address }),
    });
  }

  /** Handles Cancel, which anyone can press; only with the code does it end the wait. Returns the text for the client. */
  #cancel(grant: GrantRecord | AgentError | undefined, kinds: readonly string[], address: string): string {
    const { grants } = this.deps;
    if (grant !== undefined && !(grant instanceof AgentError)) {
      grants.end(grant, 'refused on the page', { address });
      return 'The owner of the server refused';
    }
    const open = grant === undefined ? grants.openCodes() : [];
    for (const one of open) if (kinds.includes(one.grant.client)) grants.countCancel(one, address);
    return 'Cancel was pressed on the page';
  }

  /** Returns the grant of a code, or the refusal. */
  #grantOf(codes: readonly string[], address: string): GrantRecord | AgentError {
    const [code = ''] = codes;
    try {
      return this.deps.guessing.attempt(
        address,
        () => {
          const grant = codes.length === 1 ? this.deps.grants.byCode(code, address) : undefined;
          if (grant === undefined) throw new Unauthorized();
          return grant;
        },
        noteNothing,
      );
    } catch (error) {
      if (error instanceof Unauthorized || error instanceof GuessingRefused) return error;
      throw error;
    }
  }
}
