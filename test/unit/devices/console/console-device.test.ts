import { describe, expect, it } from 'vitest';
import { ConsoleDevice, type ConsoleOptions } from '../../../../src/devices/console/device.ts';
import { ConsoleFeature } from '../../../../src/devices/console/layout.ts';
import { featureSet } from '../../../../src/spec/features.ts';
import { NEXT, WRITE } from '../../../support/raw-queue.ts';
import { RawRig, settled } from '../type-rig.ts';
import { type Waiting, waitingSuite } from '../waiting-suite.ts';

const FEATURES = featureSet(ConsoleFeature.SIZE);
const EMERG_WR = 8;
const RECEIVE = 0;
const TRANSMIT = 1;

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const bytes = (string: string): Uint8Array => Uint8Array.from(Buffer.from(string, 'latin1'));

/** A terminal that takes output at once, or holds it until a test says so. */
class Terminal {
  readonly printed: string[] = [];
  readonly held: { resolve(): void; reject(error: Error): void }[] = [];
  speed: 'fast' | 'held' = 'fast';

  readonly output = (output: Uint8Array): void | Promise<void> => {
    this.printed.push(text(output));
    if (this.speed === 'fast') return;
    return new Promise<void>((resolve, reject) => {
      this.held.push({ resolve, reject });
    });
  };
}

interface Console {
  readonly rig: RawRig;
  readonly type: ConsoleDevice;
  readonly terminal: Terminal;
}

function start(speed: Terminal['speed'] = 'fast', options: Partial<ConsoleOptions> = {}): Console {
  const terminal = new Terminal();
  terminal.speed = speed;
  const type = new ConsoleDevice({ output: terminal.output, ...options });
  return { rig: new RawRig(type, FEATURES), type, terminal };
}

function size(rig: RawRig): number[] {
  return [rig.device.readConfig(0, 2), rig.device.readConfig(2, 2)];
}

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

describe('the size', () => {
  it('has the rows first, as in VIRTIO 1.4', () => {
    const { rig, type } = start('fast', { size: { rows: 50, columns: 132 } });
    expect(size(rig)).toEqual([50, 132]);
    expect(type.config()).toHaveLength(12);
    expect(size(start().rig)).toEqual([25, 80]);
  });

  it('has the columns first for a driver made before 1.4', () => {
    const { rig } = start('fast', { size: { rows: 50, columns: 132 }, sizeOrder: 'before-1.4' });
    expect(size(rig)).toEqual([132, 50]);
  });

  it('is no more than 16 bit', () => {
    const { type } = start();
    expect(() => type.resize({ rows: 65_536, columns: 1 })).toThrow(RangeError);
    expect(() => type.resize({ rows: 1, columns: -1 })).toThrow(RangeError);
    expect(() => type.resize({ rows: 1.5, columns: 1 })).toThrow(RangeError);
    expect(() => new ConsoleDevice({ output: () => {}, size: { rows: 1, columns: 65_536 } })).toThrow(RangeError);
  });

  it('can change before there is a device', () => {
    const type = new ConsoleDevice({ output: () => {} });
    type.resize({ rows: 1, columns: 2 });
    expect(size(new RawRig(type, FEATURES))).toEqual([1, 2]);
  });

  it('that changes is told at once to a running driver', () => {
    const { rig, type } = start();
    size(rig);
    const { configGeneration } = rig.device;
    type.resize({ rows: 30, columns: 90 });
    expect(rig.events).toEqual(['config']);
    expect(size(rig)).toEqual([30, 90]);
    expect(rig.device.configGeneration).not.toBe(configGeneration);
  });

  it('that changes while suspended is shown, and told once, after the resume', () => {
    const { rig, type } = start();
    rig.suspend();
    rig.events.length = 0;
    size(rig);
    const { configGeneration } = rig.device;
    for (const rows of [30, 31, 32]) type.resize({ rows, columns: 90 });
    expect(size(rig)).toEqual([25, 80]);
    expect(rig.device.configGeneration).toBe(configGeneration);
    expect(rig.events).toEqual([]);
    rig.resume();
    expect(rig.events.filter((event) => event === 'config')).toHaveLength(1);
    expect(size(rig)).toEqual([32, 90]);
    expect(rig.device.configGeneration).not.toBe(configGeneration);
  });

  it('that another machine has is told to a driver that goes on there', () => {
    const { rig } = start();
    rig.suspend();
    const saved = JSON.parse(JSON.stringify(rig.device.save()));
    rig.replace(new ConsoleDevice({ output: () => {}, size: { rows: 60, columns: 200 } }));
    rig.device.restore(saved);
    expect(size(rig)).toEqual([25, 80]);
    rig.resume();
    expect(rig.events).toContain('config');
    expect(size(rig)).toEqual([60, 200]);
  });
});

describe('emerg_wr', () => {
  it('prints its low byte, whatever the width, without a driver', () => {
    const terminal = new Terminal();
    const rig = new RawRig(new ConsoleDevice({ output: terminal.output }));
    rig.device.writeStatus(0);
    rig.device.writeConfig(EMERG_WR, 4, 0x1234_5641);
    rig.device.writeConfig(EMERG_WR, 1, 0x42);
    rig.device.writeConfig(EMERG_WR, 2, 0xff43);
    expect(terminal.printed).toEqual(['A', 'B', 'C']);
    expect(rig.device.status).toBe(0);
    expect(rig.device.readConfig(EMERG_WR, 4)).toBe(0);
  });

  it('prints while suspended, and in a device that needs a reset; nothing else changes', () => {
    const { rig, terminal } = start();
    rig.suspend();
    rig.events.length = 0;
    rig.device.writeConfig(EMERG_WR, 4, 0x21);
    expect(terminal.printed).toEqual(['!']);
    expect(rig.device.status).toBe(0x1b);
    expect(rig.events).toEqual([]);
    rig.device.fail(new Error('lost'));
    rig.device.writeConfig(EMERG_WR, 4, 0x3f);
    expect(terminal.printed).toEqual(['!', '?']);
    expect(rig.device.status).toBe(0x5b);
  });

  it('does not wait for output that is held up', async () => {
    const { rig, terminal } = start('held');
    rig.offerReadable(TRANSMIT, 0, bytes('slow'));
    rig.device.writeConfig(EMERG_WR, 4, 0x21);
    expect(terminal.printed).toEqual(['slow', '!']);
    for (const { resolve } of terminal.held) resolve();
    await settled();
    expect(rig.queues[TRANSMIT]!.usedIndex).toBe(1);
  });

  it('that cannot be printed fails the device', async () => {
    const type = new ConsoleDevice({ output: () => Promise.reject(new Error('no paper')) });
    const rig = new RawRig(type, FEATURES);
    rig.device.writeConfig(EMERG_WR, 4, 0x21);
    await settled();
    expect(rig.device.status).toBe(0x4f);
    expect(rig.device.failure?.message).toBe('no paper');
  });

  it('is the only field that can be written', () => {
    const { rig, terminal } = start();
    for (const offset of [0, 2, 4, 6, 9, 10]) rig.device.writeConfig(offset, 1, 0x41);
    expect(terminal.printed).toEqual([]);
    expect(size(rig)).toEqual([25, 80]);
  });
});
