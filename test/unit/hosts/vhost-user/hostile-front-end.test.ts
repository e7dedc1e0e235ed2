/** Front-ends that say anything, with descriptors of any kind: no session of theirs leaves a trace. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BlockDevice } from '../../../../src/devices/block/device.ts';
import { BackEnd } from '../../../../src/hosts/vhost-user/back-end.ts';
import { LoopClock } from '../../../../src/hosts/vhost-user/loop-clock.ts';
import { messageShapes } from '../../../../src/hosts/vhost-user/messages.ts';
import type { ServerEvent } from '../../../../src/hosts/vhost-user/server.ts';
import { MemoryDisk } from '../../../../src/storage/memory-disk.ts';
import { EventFd } from '../../../../src/unix/event-fd.ts';
import { closeFd, memfd } from '../../../../src/unix/file-descriptor.ts';
import { UnixSocket } from '../../../../src/unix/socket.ts';
import { runs } from '../../../support/runs.ts';
import { openFds } from '../../unix/open-fds.ts';

const MEMORY_BYTES = 1 << 20;
const USER_ADDRESS = 2 ** 40;
const folder = mkdtempSync(join(tmpdir(), 'virtio-vhost-'));
const path = join(folder, 'socket');
const clock = new LoopClock();
const events: ServerEvent[] = [];
let backEnd: BackEnd;
beforeAll(() => {
  backEnd = new BackEnd({
    path,
    type: new BlockDevice(new MemoryDisk({ capacitySectors: 64 }), { queues: 2 }),
    device: {},
    clock,
    onEvent: (event) => events.push(event),
  });
});
afterAll(() => {
  backEnd.close();
  rmSync(folder, { recursive: true });
});

type FdKind = 'memory' | 'eventfd' | 'socket' | 'small';

interface Step {
  readonly request: number;
  readonly flags: number;
  /** Words of 32 bits. */
  readonly payload: readonly number[];
  /** What the header says is so much more or less than there is. */
  readonly lie: number;
  readonly fds: readonly FdKind[];
}

const word = fc.oneof(
  fc.constantFrom(0, 1, 2, 8, 16, 255, 256, 257, 4096, MEMORY_BYTES, 0x8000_8000, 0xffff_ffff),
  fc.nat(4),
  fc.nat(0xffff),
  fc.integer({ min: 0, max: 0xffff_ffff }),
);
const known = [...messageShapes.values()];

const step: fc.Arbitrary<Step> = fc
  .oneof({ weight: 9, arbitrary: fc.constantFrom(...known) }, { weight: 1, arbitrary: fc.constant(undefined) })
  .chain((shape) =>
    fc.record({
      request: shape === undefined ? fc.nat(60) : fc.constant(shape.request),
      flags: fc.oneof({ weight: 9, arbitrary: fc.constantFrom(1, 9) }, { weight: 1, arbitrary: fc.nat(31) }),
      payload: fc.array(word, { minLength: (shape?.least ?? 0) / 4, maxLength: (shape?.most ?? 64) / 4 }),
      lie: fc.oneof(
        { weight: 20, arbitrary: fc.constant(0) },
        { weight: 1, arbitrary: fc.integer({ min: -8, max: 8192 }) },
      ),
      fds: fc.array(fc.constantFrom<FdKind>('memory', 'eventfd', 'socket', 'small'), { maxLength: shape?.fds ?? 2 }),
    }),
  );

/** A descriptor of that kind, which the caller closes. */
function open(kind: FdKind): number {
  if (kind === 'eventfd') return EventFd.create().fd;
  if (kind === 'memory') return memfd(MEMORY_BYTES);
  if (kind === 'small') return memfd(100);
  const [near, far] = UnixSocket.pair();
  far.close();
  return near.fd;
}

function send(socket: UnixSocket, { request, flags, payload, lie, fds }: Step): void {
  const bytes = new Uint32Array([request, flags, Math.max(0, 4 * payload.length + lie), ...payload]);
  const open_ = fds.map(open);
  try {
    socket.send(new Uint8Array(bytes.buffer), open_);
  } catch {
    // The session has ended already.
  } finally {
    open_.forEach(closeFd);
  }
}

const message = (request: number, payload: readonly number[], fds: readonly FdKind[] = []): Step => {
  return { request, flags: 1, payload, lie: 0, fds };
};
const low = (value: number): number => value >>> 0;
const high = (value: number): number => Math.floor(value / 2 ** 32);

/** A device that works: what comes then finds something to break. */
const working: readonly Step[] = [
  message(3, []),
  message(16, [0x18000 | 0b11_0010_0010_1001, 0]),
  message(2, [0x7000_0000, 1]),
  message(5, [1, 0, 0, 0, MEMORY_BYTES, 0, low(USER_ADDRESS), high(USER_ADDRESS), 0, 0], ['memory']),
  message(8, [0, 16]),
  message(10, [0, 0]),
  message(9, [0, 0, ...[0x1000, 0x3000, 0x2000, 0].flatMap((at) => [at, high(USER_ADDRESS)])]),
  message(13, [0, 0], ['eventfd']),
  message(12, [0, 0], ['eventfd']),
  message(18, [0, 1]),
];

function session(steps: readonly Step[]): void {
  const socket = UnixSocket.connect(path);
  backEnd.turn(0);
  for (const each of steps) {
    send(socket, each);
    backEnd.turn(0);
    clock.run();
  }
  socket.close();
  backEnd.turn(0);
  clock.run();
}

describe('a front-end that says anything', () => {
  it('leaves neither descriptors nor memory nor a device at work behind', () => {
    session(working);
    const fds = openFds();
    let ended = 0;
    fc.assert(
      fc.property(fc.boolean(), fc.array(step, { maxLength: 30 }), (works, steps) => {
        events.length = 0;
        session(works ? [...working, ...steps] : steps);
        expect(openFds()).toBe(fds);
        expect(backEnd.status).toMatchObject({
          connected: false,
          status: 0,
          inFlight: 0,
          memory: { regions: 0, bytes: 0 },
          queues: [{ inUse: false }, { inUse: false }],
        });
        expect(events.map(({ event }) => event).filter((event) => event === 'connected')).toHaveLength(1);
        ended += events.some((event) => event.event === 'disconnected' && /\[vhost\./.test(event.reason)) ? 1 : 0;
      }),
      runs(51125, 300),
    );
    expect(ended).toBeGreaterThan(100);
  });

  it('is served again after a session of the worst kind', () => {
    session([...working.slice(0, 4), message(12, [0, 0], ['socket'])]);
    session(working.slice(0, -1));
    events.length = 0;
    const socket = UnixSocket.connect(path);
    backEnd.turn(0);
    for (const each of working) send(socket, each);
    backEnd.turn(0);
    expect(backEnd.status).toMatchObject({
      connected: true,
      failure: null,
      queues: [{ inUse: true }, { inUse: false }],
    });
    socket.close();
    backEnd.turn(0);
    expect(events.map(({ event }) => event)).toEqual(['connected', 'disconnected']);
  });

  it('may stop in the middle of a message, and holds nobody up', () => {
    const socket = UnixSocket.connect(path);
    backEnd.turn(0);
    socket.send(Uint8Array.of(1, 0, 0));
    const before = performance.now();
    backEnd.turn(0);
    expect(performance.now() - before).toBeLessThan(1000);
    expect(backEnd.status.connected).toBe(true);
    socket.close();
    backEnd.turn(0);
    expect(backEnd.status.connected).toBe(false);
  });

  it('may ask and never read the answers', () => {
    const socket = UnixSocket.connect(path);
    backEnd.turn(0);
    const question = message(1, []);
    for (let n = 0; n < 100_000 && backEnd.status.connected; n++) {
      send(socket, question);
      backEnd.turn(0);
    }
    expect(backEnd.status.connected).toBe(false);
    socket.close();
  });
});
