import { KIND_NAMES } from '../access/client-kinds.ts';
import type { GrantRecord } from '../access/grant.ts';
import type { Asked } from './authorize.ts';
import { type Client, kindsOf, staysLocal } from './clients.ts';
import type { Texts } from './texts.ts';

const STYLE = `
:root{color-scheme:light dark;font:17px/1.5 system-ui,sans-serif}
body{max-width:30rem;margin:0 auto;padding:1rem}
h1{font-size:1.3rem}
.host{font-size:1.7rem;font-weight:700;line-height:1.2;overflow-wrap:anywhere;margin:.2rem 0 1rem}
.warn{border-left:.3rem solid #b45309;padding:.4rem .8rem;font-weight:600}
.error{border-left:.3rem solid #b91c1c;padding:.4rem .8rem;font-weight:600}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;margin:.4rem 0}
dt{opacity:.75}dd{margin:0;overflow-wrap:anywhere}
label{display:block;font-weight:600;margin-top:1rem}
input{font:1.4rem ui-monospace,monospace;letter-spacing:.1em;width:100%;box-sizing:border-box;padding:.5rem;text-transform:uppercase}
button{font:inherit;min-height:3rem;width:100%;margin-top:.8rem;border-radius:.4rem;border:1px solid #1d4ed8;background:none;color:inherit}
button.main{background:#1d4ed8;color:#fff;font-weight:600}
small{opacity:.8}
`;

const styleHash = new Bun.CryptoHasher('sha256').update(STYLE).digest('base64');

/** Headers of every page. No `form-action`, which browsers would also apply to the redirect after the form. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; frame-ancestors 'none'`,
  'x-frame-options': 'DENY',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
};

function page(texts: Texts, body: string): string {
  return `<!doctype html>
<html lang="${texts.lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${html(texts.title)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${html(texts.title)}</h1>
${body}
</main>
</body>
</html>
`;
}

/** Makes the page on which the owner allows a client. `open`: grants whose codes wait; `fault`: the last error. */
export function consentPage(texts: Texts, asked: Asked, open: readonly GrantRecord[], fault?: string): string {
  const { client, redirectUri, fields } = asked;
  const hidden = fields.map(([name, value]) => `<input type="hidden" name="${html(name)}" value="${html(value)}">`);
  const kinds: readonly string[] = kindsOf(client, redirectUri);
  const fitting = open.filter(({ grant }) => kinds.includes(grant.client));
  const wait = open.length === 0 ? texts.noCode : fitting.length === 0 ? texts.otherKind : undefined;
  return page(
    texts,
    `${fault === undefined ? '' : `<p class="error" role="alert" id="fault">${html(fault)}</p>`}
<p>${html(texts.asks(nameOf(client, redirectUri)))}${client.isKnown ? '' : `<br><small>${html(texts.unproven)}</small>`}</p>
<p id="to">${html(texts.goesTo)}</p>
<p class="host" aria-describedby="to">${html(describeRedirect(texts, redirectUri))}</p>
<p class="warn">${html(texts.onlyIf)}</p>
${wait === undefined ? '' : `<p class="warn" role="status">${html(wait)}</p>`}
${fitting.map((grant) => summary(texts, grant, fitting.length > 1)).join('\n')}
<form method="post" action="/oauth/authorize" autocomplete="off">
${hidden.join('\n')}
${open.length === 0 ? '' : codeField(texts, fault !== undefined)}
<button name="decision" value="deny" formnovalidate>${html(texts.cancel)}</button>
</form>`,
  );
}

function codeField(texts: Texts, hasFault: boolean): string {
  return `<label for="code">${html(texts.enterCode)}</label>
<input id="code" name="code" required maxlength="40" autocomplete="one-time-code" autocapitalize="characters" autocorrect="off" spellcheck="false" aria-describedby="hint${hasFault ? ' fault' : ''}">
<small id="hint">${html(texts.codeHint)}</small>
<button class="main" name="decision" value="allow">${html(texts.allow)}</button>`;
}

/** Describes a grant. When there are several codes, it includes the name. */
function summary(
  texts: Texts,
  { name, profile = '', expires_at, grant }: GrantRecord,
  isOneOfSeveral: boolean,
): string {
  const kinds: Readonly<Record<string, string>> = KIND_NAMES;
  const rows = [
    ...(isOneOfSeveral ? [[texts.name, name]] : []),
    [texts.client, kinds[grant.client] ?? grant.client],
    [texts.profile, profile === 'full' ? texts.full : profile],
    [
      texts.end,
      expires_at === null ? texts.noEnd : `${new Date(expires_at).toISOString().slice(0, 16).replace('T', ' ')} UTC`,
    ],
  ];
  const cells = rows.map(([name = '', value = '']) => `<dt>${html(name)}</dt><dd>${html(value)}</dd>`);
  return `<p>${html(texts.codeFor)}</p><dl>${cells.join('')}</dl>`;
}

/** Makes a page with an error, and a link back to the client if possible. */
export function faultPage(texts: Texts, why: string, back?: { readonly url: string; readonly host: string }): string {
  const link =
    back === undefined ? '' : `<p><a href="${html(back.url)}" rel="noreferrer">${html(texts.back(back.host))}</a></p>`;
  return page(texts, `<p class="error" role="alert">${html(texts.cannot)}</p><p>${html(why)}</p>${link}`);
}

/** Returns the name of a client, in quotes when it was not checked. */
function nameOf({ name, isKnown }: Client, redirectUri: string): string {
  if (name === '') return new URL(redirectUri).host;
  return isKnown ? name : `“${name}”`;
}

function describeRedirect(texts: Texts, redirectUri: string): string {
  const { host } = new URL(redirectUri);
  return staysLocal(redirectUri) ? `${host} (${texts.thisComputer})` : host;
}

function html(text: string): string {
  return Bun.escapeHTML(text);
}
