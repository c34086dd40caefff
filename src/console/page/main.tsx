import { render } from 'preact';
import { App } from './app.tsx';
import { Desk } from './desk.ts';
import { DeskProvider } from './parts.tsx';

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
