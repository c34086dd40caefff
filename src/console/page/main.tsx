import { render } from 'preact';
import { App } from './app.tsx';
import { Desk } from './desk.ts';
import { language } from './language.ts';
import { DeskProvider } from './parts.tsx';

document.documentElement.lang = language;
const desk = new Desk();
const page = document.getElementById('page');
if (page !== null)
  render(
    <DeskProvider value={desk}>
      <App />
    </DeskProvider>,
    page,
  );
desk.start();
