import { describe, expect, test } from 'bun:test';
import { GrantKey, makeGrant } from '../../src/access/grant.ts';
import { answerUrl, PageFault, RedirectFault, readAsked } from '../../src/connect/authorize.ts';
import { knownClient, register } from '../../src/connect/clients.ts';
import { consentPage, faultPage } from '../../src/connect/page.ts';
import { textsFor } from '../../src/connect/texts.ts';

const key = new GrantKey('k'.repeat(32));
const ISSUER = 'https://agent.example.org';
const evil = register(key, { redirect_uris: ['https://a.example/cb'], client_name: '"><script>x</script>' });
const chatgpt = knownClient('https://chatgpt.com/oauth/client.json') ?? evil;

const GOOD = {
  response_type: 'code',
  client_id: evil.id,
  redirect_uri: 'https://a.example/cb',
  code_challenge: 'c'.repeat(43),
  code_challenge_method: 'S256',
  state: '"><b>',
  resource: `${ISSUER}/mcp`,
};

const find = async (id: string) => {
  if (id !== evil.id) throw new PageFault('unknown');
  return evil;
};

/** What is read of these parameters, in place of the good ones. */
function read(
  more: Readonly<Record<string, string | undefined>> = {},
  twice: readonly (readonly [string, string])[] = [],
) {
  const pairs = Object.entries({ ...GOOD, ...more }).filter((pair): pair is [string, string] => pair[1] !== undefined);
  const parameters = new URLSearchParams(pairs);
  for (const [name, value] of twice) parameters.append(name, value);
  return readAsked(parameters, ISSUER, find);
}

/** How a request is refused. */
async function refusal(...given: Parameters<typeof read>): Promise<string> {
  try {
    await read(...given);
    return 'nothing';
  } catch (error) {
    if (error instanceof RedirectFault) return error.code;
    if (error instanceof PageFault) return 'page';
    throw error;
  }
}

describe('what a client asks', () => {
  test('is read, and what nobody knows is ignored', async () => {
    const asked = await read({ prompt: 'consent', ui_locales: 'es', scope: ' offline_access' });
    expect(asked).toMatchObject({ client: evil, state: '"><b>', scope: 'agent3 offline_access' });
    expect(asked.fields.map(([name]) => name)).not.toContain('prompt');
    expect(await read({ scope: undefined, resource: undefined, state: undefined })).toMatchObject({ scope: 'agent3' });
  });

  test.each([`${ISSUER}/mcp`, `${ISSUER}/mcp/`, ISSUER, `${ISSUER}/`, 'https://AGENT.example.org/mcp'])(
    'may be for %s',
    async (resource) => expect(await refusal({ resource })).toBe('nothing'),
  );

  test.each([
    'https://other.example/mcp',
    `${ISSUER}/other`,
    `${ISSUER}/mcp?x`,
    `${ISSUER}/mcp#x`,
    'http://agent.example.org/mcp',
    'mcp',
  ])('is refused for %s', async (resource) => expect(await refusal({ resource })).toBe('invalid_target'));

  test.each([
    [{ client_id: undefined }, 'page'],
    [{ client_id: 'unknown' }, 'page'],
    [{ redirect_uri: undefined }, 'page'],
    [{ redirect_uri: 'https://evil.example/cb' }, 'page'],
    [{ redirect_uri: 'https://a.example/cb/../x' }, 'page'],
    [{ response_type: 'token' }, 'unsupported_response_type'],
    [{ response_type: undefined }, 'unsupported_response_type'],
    [{ response_mode: 'form_post' }, 'invalid_request'],
    [{ code_challenge_method: 'plain' }, 'invalid_request'],
    [{ code_challenge_method: undefined }, 'invalid_request'],
    [{ code_challenge: undefined }, 'invalid_request'],
    [{ code_challenge: 'c'.repeat(42) }, 'invalid_request'],
    [{ state: 's'.repeat(5000) }, 'invalid_request'],
  ])('is refused with %j', async (more, how) => expect(await refusal(more)).toBe(how));

  test('is refused when something comes twice, but for two resources that are both this one', async () => {
    expect(await refusal({}, [['state', 'x']])).toBe('page');
    expect(await refusal({}, [['redirect_uri', 'https://a.example/cb']])).toBe('page');
    expect(await refusal({}, [['resource', ISSUER]])).toBe('nothing');
    expect(await refusal({}, [['resource', 'https://other.example']])).toBe('invalid_target');
  });
});

test('an answer keeps the query of its redirect, and names the issuer', () => {
  const url = new URL(answerUrl('https://a.example/cb?x=1', { code: 'c&d' }, 'a b', ISSUER));
  expect(Object.fromEntries(url.searchParams)).toEqual({ x: '1', code: 'c&d', state: 'a b', iss: ISSUER });
});

describe('the page', () => {
  const wanted = { name: 'chat', profile: 'full', client: 'chatgpt', expiresAt: null, isKept: false } as const;
  const { record } = makeGrant(key, wanted, Date.now());
  const english = textsFor(null, null);

  test('shows nothing of a stranger as HTML', async () => {
    const page = consentPage(english, await read({ state: '"><b>' }), [record], '<i>');
    expect(page).toContain('&lt;script&gt;');
    expect(page).toContain('value="&quot;&gt;&lt;b&gt;"');
    expect(page).not.toMatch(/<script|<b>|<i>/);
    expect(faultPage(english, '<b>', { url: 'https://a.example/?"><b>', host: 'a.example' })).not.toContain('<b>');
  });

  test('shows what a code allows only to the kind of client that it is for', async () => {
    const asked = await read();
    const other = consentPage(english, asked, [record]);
    expect(other).toContain('for another kind of client');
    expect(other).not.toContain('<dl>');
    const redirectUri = chatgpt.redirects[0] ?? '';
    const page = consentPage(english, { ...asked, client: chatgpt, redirectUri }, [record]);
    expect(page).toContain('<p class="host" aria-describedby="to">chatgpt.com</p>');
    expect(page).toContain('full: every command');
    expect(consentPage(english, asked, [])).toContain('sudo agent3 connect');
  });

  test('has no field for a code while none waits, and shows the names of several', async () => {
    const asked = { ...(await read()), client: chatgpt, redirectUri: chatgpt.redirects[0] ?? '' };
    const empty = consentPage(english, asked, []);
    expect(empty).toContain('Reload this page when you have a code');
    expect(empty).not.toMatch(/name="code"|value="allow"/);
    const { record: other } = makeGrant(key, { ...wanted, name: 'second' }, Date.now());
    expect(consentPage(english, asked, [record])).not.toContain('<dd>chat</dd>');
    for (const name of ['chat', 'second'])
      expect(consentPage(english, asked, [record, other])).toContain(`<dd>${name}</dd>`);
  });

  test('names the client to connect instead, in every language', () => {
    for (const language of ['en', 'es'])
      expect(textsFor(language, null).wrongClient('Claude', ['codex', 'cursor'])).toMatch(
        /Claude.* sudo agent3 connect --client codex \S+ cursor$/,
      );
  });

  test.each([
    ['es-MX en', null, 'es'],
    [null, 'fr;q=1, es-ES;q=0.5, en', 'es'],
    ['xx', 'de', 'en'],
    ['EN-gb es', 'es', 'en'],
  ])('is in a language that was asked for: %p, %p', (uiLocales, accept, lang) => {
    expect(textsFor(uiLocales, accept).lang).toBe(lang);
  });
});
