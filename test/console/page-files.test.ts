import { describe, expect, test } from 'bun:test';
import { pageFiles } from '../../src/console/page-files.ts';

/** What a browser has to load at most, compressed, with the terminal. */
const MAX_BYTES = 250_000;

describe('the files of the page', () => {
  const files = pageFiles();
  const names = Object.keys(files);
  const textOf = (name: string): string => new TextDecoder().decode(files[name]?.bytes);

  test('are index.html, and others whose names have a hash of their content', () => {
    expect(names.filter((name) => files[name]?.isFixed === false)).toEqual(['index.html']);
    expect(names.filter((name) => !/^(index\.html|[a-z]+-[a-z0-9]{8}\.(js|css|svg))$/.test(name))).toEqual([]);
    expect(names.length).toBeGreaterThan(3);
  });

  test('have types that a browser believes', () => {
    const types = names.map((name) => `${name.split('.').pop()} ${files[name]?.type}`);
    expect([...new Set(types)].sort()).toEqual([
      'css text/css; charset=utf-8',
      'html text/html; charset=utf-8',
      'js text/javascript; charset=utf-8',
      'svg image/svg+xml',
    ]);
  });

  test(`have at most ${MAX_BYTES} bytes compressed, the terminal among them`, () => {
    const sizes = names.map((name) => Bun.gzipSync(files[name]?.bytes ?? new Uint8Array()).length);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(MAX_BYTES);
  });

  test('load the terminal only when one is opened', () => {
    const terminal = names.find((name) => /^terminal-.*\.js$/.test(name)) ?? '';
    expect(terminal).not.toBe('');
    expect(textOf('index.html')).not.toContain(terminal);
    expect(names.some((name) => name.startsWith('index-') && textOf(name).includes(terminal))).toBe(true);
  });

  test('name only files that are among them, and no script or style stands in the page', () => {
    const page = textOf('index.html');
    const named = [...page.matchAll(/\b(?:src|href)="([^"]*)"/g)].map(([, path = '']) => path.replace(/^\.\//, ''));
    expect(named.filter((name) => !names.includes(name))).toEqual([]);
    expect(named.length).toBe(3);
    expect(page).not.toMatch(/<style|<script(?![^>]* src=)|\bstyle=|\bon[a-z]+=/);
  });

  test('load nothing from elsewhere', () => {
    const loads = /(?:\bimport\(|\bfrom|\burl\(|\bfetch\(|importScripts\()\s*["'`]?(?:https?:)?\/\/[^"'`)]+/g;
    expect(names.flatMap((name) => textOf(name).match(loads) ?? [])).toEqual([]);
  });
});
