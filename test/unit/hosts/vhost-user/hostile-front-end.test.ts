/** Front-ends that say anything, with descriptors of any kind: no session of theirs leaves a trace. */
import { mkdtempSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BlockDevice } from '../../../../src/devices/block/device.ts';
import { BlockRequestType } from '../../../../src/devices/block/layout.ts';
import { BackEnd } from '../../../../src/hosts/vhost-user/back-end.ts';
import { LoopClock } from '../../../../src/hosts/vhost-user/loop-clock.ts';
import { messageShapes } from '../../../../src/hosts/vhost-user/messages.ts';
import type { ServerEvent } from '../../../../src/hosts/vhost-user/server.ts';
import { GuestMemory } from '../../../../src/memory/guest-memory.ts';
import { StateError } from '../../../../src/spec/fault.ts';
import { EventFd } from '../../../../src/unix/event-fd.ts';
import { closeFd, memfd } from '../../../../src/unix/file-descriptor.ts';
import { UnixSocket } from '../../../../src/unix/socket.ts';
import { NEXT, RawQueue, WRITE } from '../../../support/raw-queue.ts';
import { RecordingDisk } from '../../../support/recording-disk.ts';
import { reportSessions, sessionRuns } from '../../../support/runs.ts';
import { openFds } from '../../unix/open-fds.ts';
import { sharedMaps } from '../../unix/shared-maps.ts';

const RUNS = sessionRuns(51125, 300);
const MEMORY_BYTES = 1 << 16;
const USER_ADDRESS = 2 ** 40;
const folder = mkdtempSync(join(tmpdir(), 'virtio-vhost-'));
const path = join(folder, 'socket');
const clock = new LoopClock();
const events: ServerEvent[] = [];
const disk = new RecordingDisk();
let backEnd: BackEnd;
beforeAll(() => {
  backEnd = new BackEnd({
    path,
    type: new BlockDevice(disk, { queues: 2 }),
    device: {},
    clock,
    onEvent: (event) => events.push(event),
  });
});
afterAll(() => {
  backEnd.close();
  guest.close();
  rmSync(folder, { recursive: true });
});

const RING_SIZE = 16;
/** Reads and writes in turn, of as many sectors as they have descriptors. */
const REQUESTS = 5;

/** The memory and the kicks of a guest whose ring has requests in it. */
class Guest {
  readonly fd: number = memfd(MEMORY_BYTES);
  readonly kick: EventFd = EventFd.create();
  readonly #fresh: Uint8Array;
  #offered = 0;

  constructor() {
    const memory = GuestMemory.over(new Uint8Array(MEMORY_BYTES));
    const queue = new RawQueue(memory, RING_SIZE, 0x1000);
    queue.layout = { size: RING_SIZE, descriptorArea: 0x1000, driverArea: 0x2000, deviceArea: 0x3000 };
    for (let n = 0; n < REQUESTS; n++) {
      const header = 0x4000 + 64 * n;
      const { view } = memory.regions[0]!;
      view.setUint32(header, n % 2 === 0 ? BlockRequestType.IN : BlockRequestType.OUT, true);
      view.setUint32(header + 8, n, true);
      const flags = n % 2 === 0 ? WRITE : 0;
      queue.descriptor(3 * n, { address: header, length: 16, flags: NEXT, next: 3 * n + 1 });
      queue.descriptor(3 * n + 1, { address: 0x8000 + 512 * n, length: 512, flags: flags | NEXT, next: 3 * n + 2 });
      queue.descriptor(3 * n + 2, { address: header + 32, length: 1, flags: WRITE });
    }
    for (let n = 0; n < RING_SIZE; n++) queue.setRing(n, 3 * (n % REQUESTS));
    this.#fresh = memory.regions[0]!.bytes;
  }

  reset(): void {
    writeSync(this.fd, this.#fresh, 0, MEMORY_BYTES, 0);
    this.#offered = 0;
  }

  /** Makes so many more requests available, whatever has become of those before. */
  offer(count: number): void {
    this.#offered += count;
    writeSync(this.fd, Uint16Array.of(this.#offered), 0, 2, 0x2002);
    this.kick.signal();
  }

  get contents(): Uint8Array {
    const bytes = new Uint8Array(MEMORY_BYTES);
    readSync(this.fd, bytes, 0, MEMORY_BYTES, 0);
    return bytes;
  }

  close(): void {
    closeFd(this.fd);
    this.kick.close();
  }
}
const guest = new Guest();

type FdKind = 'guest' | 'kick' | 'memory' | 'eventfd' | 'socket' | 'small';

interface Message {
  readonly kind: 'message';
  readonly request: number;
  readonly flags: number;
  /** Words of 32 bits. */
  readonly payload: readonly number[];
  /** What the header says is so much more or less than there is. */
  readonly lie: number;
  readonly fds: readonly FdKind[];
}

/** Requests of the guest, and of its disk that one has ended. */
type Step = Message | { readonly kind: 'offer'; readonly count: number } | { readonly kind: 'finish' };

const word = fc.oneof(
  fc.constantFrom(0, 1, 2, 8, 16, 255, 256, 257, 4096, MEMORY_BYTES, 0x8000_8000, 0xffff_ffff),
  fc.nat(4),
  fc.nat(0xffff),
  fc.integer({ min: 0, max: 0xffff_ffff }),
);
const known = [...messageShapes.values()];
const fdKind = fc.constantFrom<FdKind>('guest', 'kick', 'memory', 'eventfd', 'socket', 'small');

const anyMessage: fc.Arbitrary<Message> = fc
  .oneof({ weight: 9, arbitrary: fc.constantFrom(...known) }, { weight: 1, arbitrary: fc.constant(undefined) })
  .chain((shape) =>
    fc.record({
      kind: fc.constant('message' as const),
      request: shape === undefined ? fc.nat(60) : fc.constant(shape.request),
      flags: fc.oneof({ weight: 9, arbitrary: fc.constantFrom(1, 9) }, { weight: 1, arbitrary: fc.nat(31) }),
      payload: fc.array(word, { minLength: (shape?.least ?? 0) / 4, maxLength: (shape?.most ?? 64) / 4 }),
      lie: fc.oneof(
        { weight: 20, arbitrary: fc.constant(0) },
        { weight: 1, arbitrary: fc.integer({ min: -8, max: 8192 }) },
      ),
      // As many as it may have, more often than not; and some too many.
      fds: fc.oneof(
        { weight: 4, arbitrary: fc.array(fdKind, { maxLength: shape?.fds ?? 2 }) },
        { weight: 1, arbitrary: fc.array(fdKind, { maxLength: (shape?.fds ?? 0) + 3 }) },
      ),
    }),
  );

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: anyMessage },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('offer' as const), count: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'finish' as const }) },
);

/** A descriptor of that kind, and how it is closed. */
function open(kind: FdKind): { readonly fd: number; close(): void } {
  if (kind === 'guest') return { fd: guest.fd, close: () => {} };
  if (kind === 'kick') return { fd: guest.kick.fd, close: () => {} };
  if (kind === 'eventfd') return EventFd.create();
  if (kind === 'socket') {
    const [near, far] = UnixSocket.pair();
    far.close();
    return near;
  }
  const fd = memfd(kind === 'memory' ? MEMORY_BYTES : 100);
  return { fd, close: () => closeFd(fd) };
}

function send(socket: UnixSocket, { request, flags, payload, lie, fds }: Message): void {
  const bytes = new Uint32Array([request, flags, Math.max(0, 4 * payload.length + lie), ...payload]);
  const opened = fds.map(open);
  try {
    socket.send(
      new Uint8Array(bytes.buffer),
      opened.map(({ fd }) => fd),
    );
  } catch (error) {
    // The session has ended already.
    if (!['EPIPE', 'ECONNRESET'].includes((error as NodeJS.ErrnoException).code!)) throw error;
  } finally {
    for (const each of opened) each.close();
  }
}

/** Lets the disk end a request, be it one of a session that has ended. */
function finish(): void {
  const request = disk.waiting.shift();
  if (request === undefined) return;
  try {
    disk.finish(request);
  } catch (error) {
    if (!(error instanceof StateError)) throw error;
    request.fail(error);
  }
}

const message = (request: number, payload: readonly number[], fds: readonly FdKind[] = []): Message => {
  return { kind: 'message', request, flags: 1, payload, lie: 0, fds };
};
const low = (value: number): number => value >>> 0;
const high = (value: number): number => Math.floor(value / 2 ** 32);

/** A device that works: what comes then finds something to break. */
const working: readonly Message[] = [
  message(3, []),
  message(16, [0x18000 | 0b11_0010_0010_1001, 0]),
  message(2, [0x7000_0000, 1]),
  message(5, [1, 0, 0, 0, MEMORY_BYTES, 0, low(USER_ADDRESS), high(USER_ADDRESS), 0, 0], ['guest']),
  message(8, [0, 16]),
  message(10, [0, 0]),
  message(9, [0, 0, ...[0x1000, 0x3000, 0x2000, 0].flatMap((at) => [at, high(USER_ADDRESS)])]),
  message(13, [0, 0], ['eventfd']),
  message(12, [0, 0], ['kick']),
  message(18, [0, 1]),
];

/** Plays a session; how many messages came while requests were in flight. */
function session(steps: readonly Step[]): number {
  let met = 0;
  guest.reset();
  guest.kick.take();
  const socket = UnixSocket.connect(path);
  backEnd.turn(0);
  for (const each of steps) {
    if (each.kind === 'offer') guest.offer(each.count);
    else if (each.kind === 'finish') finish();
    else {
      if (disk.waiting.length > 0) met++;
      send(socket, each);
    }
    backEnd.turn(0);
    clock.run();
  }
  socket.close();
  backEnd.turn(0);
  clock.run();
  return met;
}

/** The disk ends what it still has: nothing of it is the guest's any more. */
function finishAll(): void {
  const before = guest.contents;
  while (disk.waiting.length > 0) finish();
  expect(Buffer.compare(guest.contents, before)).toBe(0);
}

describe('a front-end that says anything', () => {
  beforeEach(() => {
    disk.later = false;
  });

  it(`leaves neither descriptors nor maps nor a device at work behind (seed ${RUNS.seed})`, () => {
    session(working);
    const fds = openFds();
    const maps = sharedMaps();
    const counts = { sessions: 0, ended: 0, met: 0, orphaned: 0 };
    fc.assert(
      fc.property(fc.boolean(), fc.array(step, { maxLength: 30 }), (works, steps) => {
        events.length = 0;
        disk.later = true;
        counts.sessions++;
        counts.met += session(works ? [...working, { kind: 'offer', count: 2 }, ...steps] : steps);
        counts.orphaned += disk.waiting.length;
        finishAll();
        expect([openFds(), sharedMaps()]).toEqual([fds, maps]);
        expect(backEnd.status).toMatchObject({
          connected: false,
          status: 0,
          inFlight: 0,
          memory: { regions: 0, bytes: 0 },
          queues: [{ inUse: false }, { inUse: false }],
        });
        expect(events.map(({ event }) => event).filter((event) => event === 'connected')).toHaveLength(1);
        counts.ended += events.some((event) => event.event === 'disconnected' && /\[vhost\./.test(event.reason))
          ? 1
          : 0;
      }),
      RUNS,
    );
    for (const count of Object.values(counts)) expect(count).toBeGreaterThan(100);
    reportSessions('vhost-user', { ...counts, fds, maps });
  });

  it('is served again after a session of the worst kind', () => {
    session([...working.slice(0, 4), message(12, [0, 0], ['socket'])]);
    session(working.slice(0, -1));
    events.length = 0;
    const socket = UnixSocket.connect(path);
    backEnd.turn(0);
    const maps = sharedMaps();
    for (const each of working) send(socket, each);
    backEnd.turn(0);
    expect(sharedMaps()).toBe(maps + 1);
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
