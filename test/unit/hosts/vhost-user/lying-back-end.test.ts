/** Back-ends that are silent, slow, or say what they should not: our driver is told, in time, and nothing is left of them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BlockDevice } from '../../../../src/devices/block/device.ts';
import { BlockDriver } from '../../../../src/devices/block/driver.ts';
import {
  VhostUserTransport,
  type VhostUserTransportOptions,
} from '../../../../src/hosts/vhost-user/driver-transport.ts';
import { frame, u64 } from '../../../../src/hosts/vhost-user/message-reader.ts';
import { ProtocolFeature, type RequestName, requestOf } from '../../../../src/hosts/vhost-user/messages.ts';
import { serveVhostUser, type VhostUserServer } from '../../../../src/hosts/vhost-user/server.ts';
import { GuestAllocator } from '../../../../src/memory/allocator.ts';
import { DeviceId } from '../../../../src/spec/device-ids.ts';
import { ProtocolError, TransportError } from '../../../../src/spec/fault.ts';
import { Feature, hasFeature } from '../../../../src/spec/features.ts';
import { MemoryDisk } from '../../../../src/storage/memory-disk.ts';
import { closeFd, memfd } from '../../../../src/unix/file-descriptor.ts';
import { UnixSocket } from '../../../../src/unix/socket.ts';
import { pattern } from '../../../support/rig.ts';
import { openFds } from '../../unix/open-fds.ts';
import { type Lie, ScriptedBackEnd } from './scripted-back-end.ts';

const LIMIT_MS = 100;
/** As flags of a message: version 1, and that it is a reply. */
const REPLY = 4;
const NEED_REPLY = 8;

let folder: string;
let fdsBefore: number;
let disk: MemoryDisk;
let server: VhostUserServer;
let backEnd: ScriptedBackEnd;
const transports: VhostUserTransport[] = [];
beforeEach(async () => {
  fdsBefore = openFds();
  folder = mkdtempSync(join(tmpdir(), 'virtio-vhost-'));
  disk = new MemoryDisk({ capacitySectors: 4096 });
  server = await serveVhostUser({ path: join(folder, 'honest'), device: () => new BlockDevice(disk) });
  backEnd = new ScriptedBackEnd(join(folder, 'socket'), join(folder, 'honest'));
});
afterEach(async () => {
  for (const transport of transports.splice(0)) transport.close();
  backEnd.close();
  await server.close(100);
  rmSync(folder, { recursive: true });
  expect(openFds()).toBe(fdsBefore);
});

async function open(options: Partial<VhostUserTransportOptions> = {}): Promise<VhostUserTransport> {
  const path = join(folder, 'socket');
  const transport = await VhostUserTransport.open({
    path,
    deviceId: DeviceId.BLOCK,
    replyLimitMs: LIMIT_MS,
    ...options,
  });
  transports.push(transport);
  return transport;
}

async function drive(): Promise<{ driver: BlockDriver; transport: VhostUserTransport }> {
  // A machine that is busy otherwise may take its time; the lies do not.
  const transport = await open({ replyLimitMs: 5000 });
  const { memory } = transport;
  const driver = new BlockDriver(transport, new GuestAllocator(memory, 0x1000, memory.regions[0]!.size - 0x1000));
  await driver.initialize();
  return { driver, transport };
}

/** The error with which the driver loses its device. */
function lost(transport: VhostUserTransport): Promise<Error> {
  const told = transport.onLost;
  return new Promise((resolve) => {
    transport.onLost = (error) => {
      told?.(error);
      resolve(error);
    };
  });
}

const lieTo = (name: RequestName, lie: Lie): void => {
  backEnd.lie = ({ shape }) => (shape.name === name ? lie : undefined);
};
const reply = (name: RequestName, payload: Uint8Array, flags = REPLY): Uint8Array =>
  frame(requestOf(name), flags, payload).slice();

describe('a back-end that is silent', () => {
  it.each(['GET_FEATURES', 'GET_PROTOCOL_FEATURES', 'GET_QUEUE_NUM', 'SET_BACKEND_REQ_FD', 'SET_MEM_TABLE'] as const)(
    'at %s is not connected to',
    async (name) => {
      lieTo(name, 'nothing');
      const before = performance.now();
      const error = await open().catch((reason: Error) => reason);
      expect(error).toBeInstanceOf(TransportError);
      expect((error as Error).message).toBe(`${name}: the back-end has not answered ${name} for ${LIMIT_MS} ms`);
      expect(performance.now() - before).toBeGreaterThan(LIMIT_MS - 1);
    },
  );

  it.each([
    ['GET_STATUS', (transport) => transport.readStatus()],
    ['SET_STATUS', (transport) => transport.writeStatus(1)],
    ['SET_FEATURES', (transport) => transport.writeFeatures(0n)],
    ['GET_CONFIG', (transport) => transport.readConfig(0, 4)],
    ['CHECK_DEVICE_STATE', (transport) => transport.saveState()],
  ] as readonly [RequestName, (transport: VhostUserTransport) => Promise<unknown>][])(
    'at %s is given up, and so is all that is asked later',
    async (name, ask) => {
      lieTo(name, 'nothing');
      const transport = await open();
      const loss = lost(transport);
      await expect(ask(transport)).rejects.toThrow(TransportError);
      expect((await loss).message).toBe(`the back-end has not answered ${name} for ${LIMIT_MS} ms`);
      await expect(transport.readStatus()).rejects.toThrow(`GET_STATUS: the back-end has not answered ${name}`);
    },
  );

  it('at the stop of a ring does not hold a driver that resets it', async () => {
    const { driver } = await drive();
    lieTo('GET_VRING_BASE', 'end');
    await expect(driver.driver.reset()).rejects.toThrow('GET_VRING_BASE: the back-end has ended the connection');
  });

  it('for a while is waited for, as long as each message has its answer in time', async () => {
    const transport = await open();
    const waiting: (() => void)[] = [];
    backEnd.lie = ({ shape }) => {
      if (shape.name !== 'GET_STATUS') return undefined;
      waiting.push(() => backEnd.say(reply('GET_STATUS', u64(3n))));
      setTimeout(() => waiting.shift()!(), LIMIT_MS * 0.4);
      return 'nothing';
    };
    for (let n = 0; n < 4; n++) expect(await transport.readStatus()).toBe(3);
  });

  it('in the middle of a reply is given up, too', async () => {
    lieTo('GET_STATUS', reply('GET_STATUS', u64(3n)).subarray(0, 15));
    const transport = await open();
    await expect(transport.readStatus()).rejects.toThrow(`has not answered GET_STATUS for ${LIMIT_MS} ms`);
  });

  it('and reads nothing is given up at once, and holds nobody up', async () => {
    lieTo('GET_STATUS', 'nothing');
    const transport = await open({ replyLimitMs: 60_000 });
    const before = performance.now();
    // Within one turn of the event loop, on which the other side would read, too.
    const asked = Array.from({ length: 2000 }, () => transport.readStatus().catch((error: Error) => error.message));
    expect(performance.now() - before).toBeLessThan(4000);
    expect(new Set(await Promise.all(asked))).toEqual(
      new Set(['GET_STATUS: the back-end does not read what it is sent']),
    );
  });
});

describe('a back-end that ends the connection', () => {
  it('is lost to the driver, with all of its requests', async () => {
    const { driver, transport } = await drive();
    const loss = lost(transport);
    await server.pause();
    const read = expect(driver.read(0, 512)).rejects.toThrow('the back-end has ended the connection');
    lieTo('GET_STATUS', 'end');
    await expect(transport.readStatus()).rejects.toThrow('GET_STATUS: the back-end has ended the connection');
    expect((await loss).message).toBe('the back-end has ended the connection');
    await read;
  });

  it('within a message says so', async () => {
    const transport = await open();
    backEnd.lie = () => {
      backEnd.say(reply('GET_STATUS', u64(3n)).subarray(0, 15));
      return 'end';
    };
    await expect(transport.readStatus()).rejects.toThrow('has ended the connection within a message');
  });
});

describe('a back-end that lies', () => {
  const status = reply('GET_STATUS', u64(3n));
  const large = reply('GET_STATUS', u64(3n));
  new DataView(large.buffer).setUint32(8, 4097, true);
  it.each([
    ['answers something else', reply('GET_CONFIG', u64(3n)), 'vhost.backend.reply.order'],
    ['answers twice', Buffer.concat([status, status]), 'vhost.backend.reply.order'],
    ['answers too little', reply('GET_STATUS', new Uint8Array(4)), 'vhost.backend.reply.size'],
    ['answers nothing', reply('GET_STATUS', new Uint8Array(0)), 'vhost.backend.reply.size'],
    ['answers too much', reply('GET_STATUS', new Uint8Array(16)), 'vhost.backend.reply.size'],
    ['says to answer more than there ever is', large, 'vhost.backend.message.size'],
    ['does not say that it answers', reply('GET_STATUS', u64(3n), 0), 'vhost.backend.message.flags'],
    [
      'answers in another version',
      Uint8Array.from(status, (byte, n) => (n === 4 ? 6 : byte)),
      'vhost.backend.message.flags',
    ],
  ])('%s, and is given up', async (_, bytes, rule) => {
    lieTo('GET_STATUS', bytes);
    const transport = await open({ replyLimitMs: 5000 });
    const loss = lost(transport);
    const [error] = await Promise.all([loss, transport.readStatus().catch(() => {})]);
    expect(error).toBeInstanceOf(ProtocolError);
    expect((error as ProtocolError).rule).toBe(rule);
    await expect(transport.readStatus()).rejects.toThrow(rule);
  });

  it('says something that nobody has asked, and is given up', async () => {
    const transport = await open();
    const loss = lost(transport);
    backEnd.say(status);
    expect((await loss).message).toMatch(/which was not asked \[vhost.backend.reply.order\]$/);
  });

  it('gets none of its descriptors taken', async () => {
    const transport = await open({ replyLimitMs: 5000 });
    const file = memfd(4096);
    backEnd.lie = () => {
      backEnd.say(status, [file, file]);
      return 'nothing';
    };
    const before = openFds();
    for (let n = 0; n < 10; n++) expect(await transport.readStatus()).toBe(3);
    expect(openFds()).toBe(before);
    closeFd(file);
  });

  it('does not obey, and the call says so', async () => {
    lieTo('SET_FEATURES', reply('SET_FEATURES', u64(1n)));
    const transport = await open();
    await expect(transport.writeFeatures(0n)).rejects.toThrow(
      new TransportError('the back-end did not obey SET_FEATURES'),
    );
    // It is still there.
    expect(await transport.readStatus()).toBe(0);
  });

  it('has fewer bytes of configuration than it should', async () => {
    lieTo('GET_CONFIG', reply('GET_CONFIG', new Uint8Array(0)));
    const transport = await open();
    await expect(transport.readConfig(8, 4)).rejects.toThrow('the back-end has no 4 bytes of configuration at 8');
  });

  it('does not take a state, and the call says so', async () => {
    lieTo('CHECK_DEVICE_STATE', reply('CHECK_DEVICE_STATE', u64(1n)));
    const transport = await open();
    await expect(transport.loadState(Uint8Array.of(1, 2))).rejects.toThrow('the back-end did not take the state');
  });
});

describe('the channel of a back-end', () => {
  let channel: UnixSocket;
  /** Opens a transport whose channel is the test's. */
  async function withChannel(): Promise<{ transport: VhostUserTransport; changes: () => number }> {
    backEnd.lie = ({ shape, fds }) => {
      if (shape.name !== 'SET_BACKEND_REQ_FD') return undefined;
      channel = UnixSocket.over(fds.pop()!);
      return reply('SET_BACKEND_REQ_FD', u64(0n));
    };
    const transport = await open({ replyLimitMs: 5000 });
    let changes = 0;
    transport.onConfigChange = () => changes++;
    return { transport, changes: () => changes };
  }
  afterEach(() => channel.close());
  const CONFIG_CHANGE = 2;
  const say = (request: number, flags = 0, payload: Uint8Array = new Uint8Array(0)): Uint8Array =>
    frame(request, flags, payload).slice();

  it('says that the configuration has changed, however the bytes come', async () => {
    const { transport, changes } = await withChannel();
    const message = say(CONFIG_CHANGE);
    channel.send(Buffer.concat([message, message, message.subarray(0, 5)]));
    await expect.poll(changes).toBe(2);
    channel.send(message.subarray(5));
    await transport.readStatus();
    expect(changes()).toBe(3);
  });

  it('is answered where an answer is asked for, and what has more to it than is known is skipped whole', async () => {
    const { changes } = await withChannel();
    channel.send(say(CONFIG_CHANGE, NEED_REPLY, new Uint8Array(40).fill(2)));
    channel.send(say(99, NEED_REPLY, new Uint8Array(12)));
    channel.send(say(CONFIG_CHANGE));
    await expect.poll(changes).toBe(2);
    const answers = new Uint8Array(64);
    const received = channel.receive(answers)!;
    expect(Buffer.from(answers.subarray(0, received.count))).toEqual(
      Buffer.concat([say(CONFIG_CHANGE, REPLY, u64(0n)), say(99, REPLY, u64(1n))]),
    );
  });

  it('gets none of its descriptors taken', async () => {
    const { changes } = await withChannel();
    const file = memfd(4096);
    const before = openFds();
    for (let n = 0; n < 10; n++) channel.send(say(CONFIG_CHANGE), [file]);
    await expect.poll(changes).toBe(10);
    expect(openFds()).toBe(before);
    closeFd(file);
  });

  it('may be closed: there is nothing more to say then', async () => {
    const { transport } = await withChannel();
    channel.close();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await transport.readStatus()).toBe(0);
  });

  const large = say(CONFIG_CHANGE);
  new DataView(large.buffer).setUint32(8, 5000, true);
  it.each([
    ['asks for what is not known', say(99), 'vhost.backend.message.known'],
    ['says to be longer than any message', large, 'vhost.backend.message.size'],
    ['has no version', say(CONFIG_CHANGE).fill(0, 4, 8), 'vhost.backend.message.flags'],
    ['answers', say(CONFIG_CHANGE, REPLY), 'vhost.backend.message.flags'],
  ])('that %s ends the connection', async (_, bytes, rule) => {
    const { transport } = await withChannel();
    const loss = lost(transport);
    channel.send(bytes);
    expect(((await loss) as ProtocolError).rule).toBe(rule);
    await expect(transport.readStatus()).rejects.toThrow(rule);
  });

  it('whose answers are not read ends the connection', async () => {
    const { transport } = await withChannel();
    const loss = lost(transport);
    const message = say(CONFIG_CHANGE, NEED_REPLY);
    const flood = setInterval(() => {
      for (let n = 0; n < 100; n++) {
        try {
          channel.send(message);
        } catch {
          // It was closed.
        }
      }
    });
    try {
      expect((await loss).message).toBe('the front-end does not read what it is sent');
    } finally {
      clearInterval(flood);
    }
  });
});

describe('a back-end that can do less', () => {
  const without = (...bits: readonly number[]): void => {
    const withheld = bits.reduce((set, bit) => set | (1n << BigInt(bit)), 0n);
    backEnd.reply = (name, payload) => {
      if (name !== 'GET_PROTOCOL_FEATURES') return payload;
      return u64(new DataView(payload.buffer, payload.byteOffset).getBigUint64(0, true) & ~withheld);
    };
  };
  const { REPLY_ACK, STATUS, CONFIG, BACKEND_REQ, MQ, RESET_DEVICE, DEVICE_STATE } = ProtocolFeature;

  it('is driven without answers to orders', async () => {
    without(REPLY_ACK);
    const { driver } = await drive();
    await Promise.all(Array.from({ length: 50 }, (_, n) => driver.write(n, pattern(512, n))));
    for (let n = 0; n < 50; n++) expect(Buffer.compare(await driver.read(n, 512), pattern(512, n))).toBe(0);
    await driver.suspend();
    await driver.resume();
  });

  it('without STATUS is reset by RESET_DEVICE, and forgets all that was said', async () => {
    without(STATUS);
    const { driver, transport } = await drive();
    expect(hasFeature(driver.driver.features, Feature.SUSPEND)).toBe(false);
    await driver.write(0, pattern(512));
    expect((await server.status()).status).toBe(0x0f);
    backEnd.heard.length = 0;
    await transport.writeStatus(0);
    expect(backEnd.heard).toEqual(['GET_VRING_BASE', 'RESET_DEVICE']);
    expect(await server.status()).toMatchObject({ status: 0, failure: null, queues: [{ inUse: false }] });
    await driver.initialize();
    expect(await driver.read(0, 512)).toEqual(pattern(512));
  });

  it('is driven with nothing of it at all', async () => {
    without(REPLY_ACK, STATUS, CONFIG, BACKEND_REQ, MQ, RESET_DEVICE, DEVICE_STATE);
    const transport = await open({ replyLimitMs: 5000 });
    expect(await transport.readConfig(0, 4)).toBe(0);
    expect(transport.readQueueSize(0)).toBe(256);
    expect(transport.readQueueSize(1)).toBe(0);
    await transport.writeStatus(0);
    await expect(transport.saveState()).rejects.toThrow('the back-end cannot transfer its state');
  });
});
