import { render } from 'preact';
import { App } from './app.tsx';
import { Desk } from './desk.ts';
import { DeskProvider } from './parts.tsx';
import type { LinkSecret } from './sign.ts';

const link = takeLink();
const desk = new Desk();
const page = document.getElementById('page');
if (page !== null)
  render(
    <DeskProvider value={desk}>
      <App link={link} />
    </DeskProvider>,
    page,
  );
if (link === undefined) desk.start();

/** The link in the fragment, which leaves the address bar and the history at once. */
function takeLink(): LinkSecret | 'broken' | undefined {
  const fragment = location.hash;
  if (!fragment.startsWith('#link=')) return undefined;
  history.replaceState(null, '', location.pathname);
  const [, id, secret] = /^#link=([\w-]+)\.([\w-]+)$/.exec(fragment) ?? [];
  return id === undefined || secret === undefined ? 'broken' : { id, secret };
}
