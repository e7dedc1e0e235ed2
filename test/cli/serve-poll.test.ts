/** How long `virtio serve` has its thread look for requests. */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { start, workFolder } from './virtio.ts';

const folder = workFolder();
const preload = pathToFileURL(join(import.meta.dirname, 'tell-poll.mjs')).href;

it.each([
  [['--poll-us', '0'], 0],
  [['--poll-us', '7'], 7],
  [[], 50],
] as const)('with %j its thread looks for %d microseconds', async (args, pollUs) => {
  const image = folder.image(`disk-${pollUs}`);
  const socket = folder.path(`socket-${pollUs}`);
  const environment = { NODE_OPTIONS: `--import=${preload}` };
  const server = start(['serve', 'block', '--image', image, '--vhost-user', socket, ...args], { environment });
  await server.says(/"event":"listening"/);
  server.child.kill('SIGTERM');
  const { code, stderr } = await server.ended;
  expect(stderr.match(/polls for .*/g)).toEqual([`polls for ${pollUs} us`]);
  expect(code).toBe(0);
});
