import { describe, expect, it } from 'vitest';
import { ConsoleDevice } from '../../../../src/devices/console/device.ts';
import { NEXT, WRITE } from '../../../support/raw-queue.ts';
import { RawRig, settled } from '../type-rig.ts';
import { type Waiting, waitingSuite } from '../waiting-suite.ts';
import { bytes, FEATURES, RECEIVE, start, TRANSMIT, text } from './console-rig.ts';

describe('with buffers that wait', () => {
  waitingSuite({
    features: FEATURES,
    keepsArrivals: true,
    bufferBytes: 16,
    make: (): Waiting => {
      const type = new ConsoleDevice({ output: () => {} });
      return { type, arrive: (value) => type.input(Uint8Array.of(value)) };
    },
    valueOf: (used) => (used.length === 1 ? used[0]! : -1),
  });
});

describe('input', () => {
  it('fills one buffer after the other', () => {
    const { rig, type } = start();
    for (let buffer = 0; buffer < 3; buffer++) rig.offerWritable(RECEIVE, buffer, 4);
    expect(type.input(bytes('hello, world'))).toBe(true);
    expect(rig.used(RECEIVE).map(text)).toEqual(['hell', 'o, w', 'orld']);
  });

  it('waits for buffers, and for a driver', () => {
    const type = new ConsoleDevice({ output: () => {} });
    expect(type.input(bytes('early '))).toBe(true);
    const rig = new RawRig(type, FEATURES);
    type.input(bytes('bird'));
    rig.offerWritable(RECEIVE, 0, 16);
    expect(rig.used(RECEIVE).map(text)).toEqual(['early bird']);
  });

  it('goes on waiting over a reset', () => {
    const { rig, type } = start();
    type.input(bytes('still here'));
    rig.restart();
    rig.offerWritable(RECEIVE, 0, 16);
    expect(rig.used(RECEIVE).map(text)).toEqual(['still here']);
  });

  it('beyond the limit is refused as a whole', () => {
    const { rig, type } = start('fast', { inputLimit: 4 });
    expect(type.input(bytes('abc'))).toBe(true);
    expect(type.input(bytes('de'))).toBe(false);
    expect(type.input(bytes('d'))).toBe(true);
    rig.offerWritable(RECEIVE, 0, 16);
    expect(rig.used(RECEIVE).map(text)).toEqual(['abcd']);
    expect(type.input(bytes('efgh'))).toBe(true);
  });

  it('names the rule of a device-readable part', () => {
    const { rig, type } = start();
    const [queue] = rig.queues;
    queue!.descriptor(0, { address: rig.address(0), length: 4, flags: NEXT, next: 1 });
    queue!.descriptor(1, { address: rig.address(1), length: 4, flags: WRITE });
    queue!.offer(0);
    type.input(bytes('x'));
    expect(rig.rule).toBe('console.driver.op.1');
  });

  it('names the rule of an empty buffer', () => {
    const { rig, type } = start();
    rig.offerWritable(RECEIVE, 0, 0);
    expect(rig.device.failure).toBeUndefined();
    type.input(bytes('x'));
    expect(rig.rule).toBe('console.driver.rx.empty');
  });

  it('of a saved state has to be bytes', () => {
    const type = new ConsoleDevice({ output: () => {} });
    for (const state of [undefined, null, {}, { input: 'abc' }, { input: [256] }, { input: [-1] }, { input: [0.5] }]) {
      expect(() => type.restore(state)).toThrow('the saved console does not say which input was waiting');
    }
  });
});

describe('output', () => {
  it('is printed in order, and its buffers are used with no byte written', () => {
    const { rig, terminal } = start();
    rig.offerReadable(TRANSMIT, 0, bytes('one '));
    rig.offerReadable(TRANSMIT, 1, bytes('two'));
    expect(terminal.printed).toEqual(['one ', 'two']);
    expect(rig.used(TRANSMIT)).toEqual([new Uint8Array(0), new Uint8Array(0)]);
    expect(rig.events).toEqual(['used 1', 'used 1']);
  });

  it('of a divided or an empty buffer is what it holds', () => {
    const { rig, terminal } = start();
    const queue = rig.queues[TRANSMIT]!;
    rig.bytes.set(bytes('joined'), rig.address(0));
    queue.descriptor(0, { address: rig.address(0), length: 4, flags: NEXT, next: 1 });
    queue.descriptor(1, { address: rig.address(0) + 4, length: 2 });
    queue.offer(0);
    rig.device.kick(TRANSMIT);
    rig.offerReadable(TRANSMIT, 2, new Uint8Array(0));
    expect(terminal.printed).toEqual(['joined']);
    expect(queue.usedIndex).toBe(2);
  });

  it('comes in pieces when a buffer is large', () => {
    const { rig, terminal } = start();
    const queue = rig.queues[TRANSMIT]!;
    // One page, again and again: 8 descriptors of 80 KiB are 640 KiB of output.
    for (let i = 0; i < 8; i++) {
      queue.descriptor(i, { address: 0x1000, length: 80 * 1024, flags: i < 7 ? NEXT : 0, next: i + 1 });
    }
    queue.offer(0);
    rig.device.kick(TRANSMIT);
    const lengths = terminal.printed.map((piece) => piece.length);
    expect(lengths).toEqual(Array.from({ length: 10 }, () => 65_536));
    expect(queue.usedIndex).toBe(1);
  });

  it('with a device-writable part is a driver’s mistake, from which a reset recovers', () => {
    const { rig, terminal } = start();
    rig.offerWritable(TRANSMIT, 0, 4);
    expect(rig.device.status).toBe(0x4f);
    expect(rig.rule).toBe('console.driver.op.2');
    rig.restart();
    rig.offerReadable(TRANSMIT, 0, bytes('again'));
    expect(terminal.printed).toEqual(['again']);
    expect(rig.queues[TRANSMIT]!.usedIndex).toBe(1);
  });

  it('that throws or rejects fails the device, and a reset recovers', async () => {
    for (const when of ['now', 'later']) {
      let broken = true;
      const printed: string[] = [];
      const type = new ConsoleDevice({
        output: (output) => {
          const error = new Error('the terminal is gone');
          if (broken && when === 'later') return Promise.reject(error);
          if (broken) throw error;
          printed.push(text(output));
          return undefined;
        },
      });
      const rig = new RawRig(type, FEATURES);
      rig.offerReadable(TRANSMIT, 0, bytes('x'));
      await settled();
      expect(rig.device.status).toBe(0x4f);
      expect(rig.device.failure?.message).toBe('the terminal is gone');
      expect(rig.device.inFlight).toBe(0);
      broken = false;
      rig.restart();
      rig.offerReadable(TRANSMIT, 0, bytes('again'));
      expect(printed).toEqual(['again']);
    }
  });
});

describe('output that is held up', () => {
  it('is given the next buffer only when it took the one before', async () => {
    const { rig, terminal } = start('held');
    for (const [buffer, word] of ['a', 'b', 'c'].entries()) rig.offerReadable(TRANSMIT, buffer, bytes(word));
    expect(terminal.printed).toEqual(['a']);
    expect(rig.device.inFlight).toBe(1);
    expect(rig.queues[TRANSMIT]!.usedIndex).toBe(0);
    terminal.held.shift()!.resolve();
    await settled();
    expect(terminal.printed).toEqual(['a', 'b']);
    expect(rig.queues[TRANSMIT]!.usedIndex).toBe(1);
    terminal.speed = 'fast';
    terminal.held.shift()!.resolve();
    await settled();
    expect(terminal.printed).toEqual(['a', 'b', 'c']);
    expect(rig.queues[TRANSMIT]!.usedIndex).toBe(3);
  });

  it('delays a suspend until the one buffer is used; the others wait for the resume', async () => {
    const { rig, terminal } = start('held');
    for (const [buffer, word] of ['a', 'b', 'c'].entries()) rig.offerReadable(TRANSMIT, buffer, bytes(word));
    rig.suspend();
    expect(rig.device.status).toBe(0x1f);
    rig.events.length = 0;
    terminal.held.shift()!.resolve();
    await settled();
    expect(rig.device.status).toBe(0x1b);
    expect(rig.events[0]).toBe('used 1');
    expect(rig.queues[TRANSMIT]!.usedIndex).toBe(1);
    expect(terminal.printed).toEqual(['a']);
    terminal.speed = 'fast';
    rig.resume();
    expect(terminal.printed).toEqual(['a', 'b', 'c']);
    expect(rig.queues[TRANSMIT]!.usedIndex).toBe(3);
  });
});

describe('output that is held up for ever', () => {
  it('ends a suspend with DEVICE_NEEDS_RESET at the limit, and not before', () => {
    const { rig } = start('held');
    rig.offerReadable(TRANSMIT, 0, bytes('a'));
    rig.suspend();
    rig.clock.pass(999);
    expect(rig.device.status).toBe(0x1f);
    rig.events.length = 0;
    rig.clock.pass(1);
    expect(rig.device.status).toBe(0x4f);
    expect(rig.device.failure?.message).toContain('did not end within 1000 ms');
    expect(rig.events).toContain('config');
    expect(rig.queues[TRANSMIT]!.usedIndex).toBe(0);
  });

  it('and then fails while the device is suspending, fails the suspend', async () => {
    const { rig, terminal } = start('held');
    rig.offerReadable(TRANSMIT, 0, bytes('a'));
    rig.suspend();
    terminal.held.shift()!.reject(new Error('hung up'));
    await settled();
    expect(rig.device.status).toBe(0x4f);
    expect(rig.device.failure?.message).toBe('hung up');
    expect(rig.queues[TRANSMIT]!.usedIndex).toBe(0);
  });

  it('does not keep a reset from its end, nor the next driver from its input', async () => {
    const { rig, type, terminal } = start('held');
    rig.offerReadable(TRANSMIT, 0, bytes('stuck'));
    rig.device.writeStatus(0);
    expect(rig.device.status).toBe(0);
    expect(rig.device.inFlight).toBe(0);
    rig.restart();
    rig.offerWritable(RECEIVE, 0, 16);
    type.input(bytes('typed'));
    expect(rig.used(RECEIVE).map(text)).toEqual(['typed']);

    rig.offerReadable(TRANSMIT, 0, bytes('next'));
    expect(terminal.printed).toEqual(['stuck']);
    terminal.held.shift()!.resolve();
    await settled();
    expect(terminal.printed).toEqual(['stuck', 'next']);
    expect(rig.queues[TRANSMIT]!.usedIndex).toBe(0);
  });

  it('leads to no more reading of a buffer that a reset took away', async () => {
    const { rig, terminal } = start('held');
    const queue = rig.queues[TRANSMIT]!;
    queue.descriptor(0, { address: 0, length: 80 * 1024 }).offer(0);
    rig.device.kick(TRANSMIT);
    expect(terminal.printed).toHaveLength(1);
    rig.device.writeStatus(0);
    terminal.held.shift()!.resolve();
    await settled();
    expect(terminal.printed).toHaveLength(1);
    expect(rig.device.status).toBe(0);
  });

  it('does not keep a device whose pause gave up from going on', async () => {
    const { rig, terminal } = start('held');
    rig.offerReadable(TRANSMIT, 0, bytes('a'));
    const pausing = rig.device.pause(50);
    rig.clock.pass(50);
    await expect(pausing).rejects.toThrow('pause: what is being processed did not end within 50 ms');
    expect(rig.device.status).toBe(0x0f);
    terminal.held.shift()!.resolve();
    await settled();
    expect(rig.queues[TRANSMIT]!.usedIndex).toBe(1);
  });
});
