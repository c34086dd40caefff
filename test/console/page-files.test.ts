import { describe, expect, test } from 'bun:test';
import { pageFiles } from '../../src/console/page-files.ts';

/** What a browser has to load at most, compressed, with the terminal. */
const MAX_BYTES = 250_000;

describe('the files of the page', () => {
  const files = pageFiles();
  const names = Object.keys(files);
  const textOf = (name: string): string => new TextDecoder().decode(files[name]?.bytes);

  /** What has to be found again under its name. */
  const NAMED = ['icon-192.png', 'icon-512.png', 'index.html', 'manifest.json', 'worker.js'];

  test('are the page, its worker, what an app is made of, and others whose names have a hash of their content', () => {
    expect(names.filter((name) => files[name]?.isFixed === false).sort()).toEqual(NAMED);
    const others = names.filter((name) => !NAMED.includes(name));
    expect(others.filter((name) => !/^[a-z]+-[a-z0-9]{8}\.(js|css|svg)$/.test(name))).toEqual([]);
    expect(others.length).toBeGreaterThan(3);
  });

  test('make an app that can be installed, with icons that are there', () => {
    const { icons, start_url, scope, display } = JSON.parse(textOf('manifest.json'));
    expect([start_url, scope, display]).toEqual(['/', '/', 'standalone']);
    for (const { src, sizes } of icons) {
      const bytes = Buffer.from(files[src]?.bytes ?? []);
      expect([bytes.toString('latin1', 1, 4), `${bytes.readUInt32BE(16)}x${bytes.readUInt32BE(20)}`]).toEqual([
        'PNG',
        sizes,
      ]);
    }
  });

  test('have a worker that keeps nothing, imports nothing and answers no request', () => {
    const text = textOf('worker.js');
    expect(text).toContain('notificationclick');
    expect(text).not.toMatch(
      /\bcaches\b(?!\.match\()|\.put\(|indexedDB|importScripts|respondWith|["'`]fetch["'`]|\bimport\s*[({"'*]|\bexport\s*[{*]/,
    );
  });

  test('have types that a browser believes', () => {
    const types = names.map((name) => `${name.split('.').pop()} ${files[name]?.type}`);
    expect([...new Set(types)].sort()).toEqual([
      'css text/css; charset=utf-8',
      'html text/html; charset=utf-8',
      'js text/javascript; charset=utf-8',
      'json application/json',
      'png image/png',
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

  test('name only files that are among them, and no script or style is in the page itself', () => {
    const page = textOf('index.html');
    const named = [...page.matchAll(/\b(?:src|href)="([^"]*)"/g)].map(([, path = '']) => path.replace(/^\.\//, ''));
    expect(named.filter((name) => !names.includes(name))).toEqual([]);
    expect(named.length).toBe(5);
    expect(page).not.toMatch(/<style|<script(?![^>]* src=)|\bstyle=|\bon[a-z]+=/);
  });

  test('load nothing from elsewhere', () => {
    const loads = /(?:\bimport\(|\bfrom|\burl\(|\bfetch\(|importScripts\()\s*["'`]?(?:https?:)?\/\/[^"'`)]+/g;
    expect(names.flatMap((name) => textOf(name).match(loads) ?? [])).toEqual([]);
  });
});
