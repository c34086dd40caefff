import { KIND_NAMES } from '../access/client-kinds.ts';
import type { GrantRecord } from '../access/grant.ts';
import type { Asked } from './authorize.ts';
import { type Client, kindsOf, staysLocal } from './clients.ts';
import type { Words } from './words.ts';

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

/** Of every page. No `form-action`: browsers would hold the redirect after the form to it as well. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; frame-ancestors 'none'`,
  'x-frame-options': 'DENY',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
};

function page(words: Words, body: string): string {
  return `<!doctype html>
<html lang="${words.lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${html(words.title)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${html(words.title)}</h1>
${body}
</main>
</body>
</html>
`;
}

/** The page on which the owner allows a client. `open`: the grants whose codes wait; `fault`: what was wrong before. */
export function consentPage(words: Words, asked: Asked, open: readonly GrantRecord[], fault?: string): string {
  const { client, redirectUri, fields } = asked;
  const hidden = fields.map(([name, value]) => `<input type="hidden" name="${html(name)}" value="${html(value)}">`);
  const kinds: readonly string[] = kindsOf(client, redirectUri);
  const fitting = open.filter(({ grant }) => kinds.includes(grant.client));
  const wait = open.length === 0 ? words.noCode : fitting.length === 0 ? words.otherKind : undefined;
  return page(
    words,
    `${fault === undefined ? '' : `<p class="error" role="alert" id="fault">${html(fault)}</p>`}
<p>${html(words.asks(nameOf(client, redirectUri)))}${client.isKnown ? '' : `<br><small>${html(words.unproven)}</small>`}</p>
<p id="to">${html(words.goesTo)}</p>
<p class="host" aria-describedby="to">${html(describeRedirect(words, redirectUri))}</p>
<p class="warn">${html(words.onlyIf)}</p>
${wait === undefined ? '' : `<p class="warn" role="status">${html(wait)}</p>`}
${fitting.map((grant) => summary(words, grant, fitting.length > 1)).join('\n')}
<form method="post" action="/oauth/authorize" autocomplete="off">
${hidden.join('\n')}
${open.length === 0 ? '' : codeField(words, fault !== undefined)}
<button name="decision" value="deny" formnovalidate>${html(words.cancel)}</button>
</form>`,
  );
}

function codeField(words: Words, hasFault: boolean): string {
  return `<label for="code">${html(words.enterCode)}</label>
<input id="code" name="code" required maxlength="40" autocomplete="one-time-code" autocapitalize="characters" autocorrect="off" spellcheck="false" aria-describedby="hint${hasFault ? ' fault' : ''}">
<small id="hint">${html(words.codeHint)}</small>
<button class="main" name="decision" value="allow">${html(words.allow)}</button>`;
}

/** Of several codes, the name tells which is which. */
function summary(
  words: Words,
  { name, profile = '', expires_at, grant }: GrantRecord,
  isOneOfSeveral: boolean,
): string {
  const kinds: Readonly<Record<string, string>> = KIND_NAMES;
  const rows = [
    ...(isOneOfSeveral ? [[words.name, name]] : []),
    [words.client, kinds[grant.client] ?? grant.client],
    [words.profile, profile === 'full' ? words.full : profile],
    [
      words.end,
      expires_at === null ? words.noEnd : `${new Date(expires_at).toISOString().slice(0, 16).replace('T', ' ')} UTC`,
    ],
  ];
  const cells = rows.map(([name = '', value = '']) => `<dt>${html(name)}</dt><dd>${html(value)}</dd>`);
  return `<p>${html(words.codeFor)}</p><dl>${cells.join('')}</dl>`;
}

/** A page that says why there is nothing to allow; with a link, where the client can hear of it. */
export function faultPage(words: Words, why: string, back?: { readonly url: string; readonly host: string }): string {
  const link =
    back === undefined ? '' : `<p><a href="${html(back.url)}" rel="noreferrer">${html(words.back(back.host))}</a></p>`;
  return page(words, `<p class="error" role="alert">${html(words.cannot)}</p><p>${html(why)}</p>${link}`);
}

/** A name that nobody has checked stands in quotes. */
function nameOf({ name, isKnown }: Client, redirectUri: string): string {
  if (name === '') return new URL(redirectUri).host;
  return isKnown ? name : `“${name}”`;
}

function describeRedirect(words: Words, redirectUri: string): string {
  const { host } = new URL(redirectUri);
  return staysLocal(redirectUri) ? `${host} (${words.thisComputer})` : host;
}

function html(text: string): string {
  return Bun.escapeHTML(text);
}
