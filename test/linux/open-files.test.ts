import { expect, test } from 'bun:test';
import { softAtStart } from '../../src/linux/open-files.ts';

const both = (limit: number) => ({ soft: limit, hard: limit });

test.each([
  ['the shell before it has a lower soft limit', both(20_000), { soft: 512, hard: 20_000 }, 512],
  ['only the soft limit was lowered on the way', both(20_000), both(20_000), 1024],
  ['both were lowered on the way', both(4096), { soft: 1024, hard: 20_000 }, 4096],
  ['LimitNOFILE=65536', both(65_536), both(1_073_741_816), 65_536],
  ['a service without a limit of its own', both(524_288), both(1_073_741_816), 1024],
  ['a shell of such a service that has less', both(524_288), { soft: 256, hard: 524_288 }, 256],
  ['a container, whose first process it is', both(1_048_576), undefined, 1024],
  ['a container with few', both(500), undefined, 500],
])('%s', (_, own, parents, expected) => expect(softAtStart(own, parents)).toBe(expected));
