import { describe, expect, it } from 'vitest';
import { EntropyDevice, type EntropySource } from '../../../../src/devices/entropy/device.ts';
import { NEXT, WRITE } from '../../../support/raw-queue.ts';
import { RawRig, settled } from '../type-rig.ts';
import { type Waiting, waitingSuite } from '../waiting-suite.ts';

/** A source that fills its bytes when a test says so. */
class SlowSource {
  readonly asked: { readonly bytes: Uint8Array; resolve(): void; reject(error: Error): void }[] = [];

  readonly fill: EntropySource = (bytes) =>
    new Promise<void>((resolve, reject) => {
      this.asked.push({ bytes, resolve, reject });
    });

  /** Answers the oldest question. */
  answer(value: number): void {
    const { bytes, resolve } = this.asked.shift()!;
    bytes.fill(value);
    resolve();
  }
}

function slow(): { source: SlowSource; rig: RawRig } {
  const source = new SlowSource();
  return { source, rig: new RawRig(new EntropyDevice(source.fill)) };
}

/** A source that counts 1, 2, 3 … byte by byte. */
function counting(): EntropySource {
  let next = 0;
  return (bytes) => {
    for (let i = 0; i < bytes.length; i++) bytes[i] = ++next & 0xff;
  };
}

describe('with buffers that wait', () => {
  waitingSuite({
    features: 0n,
    keepsArrivals: false,
    bufferBytes: 256,
    make: (): Waiting => {
      const source = new SlowSource();
      return { type: new EntropyDevice(source.fill), arrive: (value) => source.answer(value) };
    },
    valueOf: (bytes) => (bytes.every((byte) => byte === bytes[0]) ? bytes[0]! : -1),
  });
});

describe('an entropy device', () => {
  it('has no configuration and no feature of its own', () => {
    const type = new EntropyDevice();
    expect(type.config()).toHaveLength(0);
    expect(type.features).toBe(0n);
    expect(type.deviceId).toBe(4);
  });

  it('fills a buffer that is as large as a chunk or smaller, however it is divided', () => {
    const rig = new RawRig(new EntropyDevice(counting()));
    const [queue] = rig.queues;
    queue!.descriptor(0, { address: rig.address(0), length: 3, flags: WRITE | NEXT, next: 1 });
    queue!.descriptor(1, { address: rig.address(0) + 3, length: 5, flags: WRITE });
    queue!.offer(0);
    rig.device.kick(0);
    expect(rig.used(0)).toEqual([Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)]);
  });

  it('gives no byte twice, and a larger buffer what there is', () => {
    const rig = new RawRig(new EntropyDevice(counting()));
    rig.offerWritable(0, 0, 200);
    rig.offerWritable(0, 1, 1000);
    rig.offerWritable(0, 2, 1000);
    const used = rig.used(0);
    expect(used.map((bytes) => bytes.length)).toEqual([200, 56, 256]);
    const all = used.flatMap((bytes) => [...bytes]);
    expect(all).toEqual(Array.from({ length: 512 }, (_, i) => (i + 1) & 0xff));
  });

  it('has the platform’s generator', () => {
    const rig = new RawRig(new EntropyDevice());
    for (let buffer = 0; buffer < 4; buffer++) rig.offerWritable(0, buffer, 64);
    const used = rig.used(0).map((bytes) => Buffer.from(bytes).toString('hex'));
    expect(new Set(used).size).toBe(4);
    for (const hex of used) expect(hex).not.toBe('00'.repeat(64));
  });

  it('names the rule of a readable part in front of a writable one', () => {
    const rig = new RawRig(new EntropyDevice());
    const [queue] = rig.queues;
    queue!.descriptor(0, { address: rig.address(0), length: 16, flags: NEXT, next: 1 });
    queue!.descriptor(1, { address: rig.address(1), length: 16, flags: WRITE });
    queue!.offer(0);
    rig.device.kick(0);
    expect(rig.rule).toBe('rng.driver.1');
    expect(rig.queues[0]!.usedIndex).toBe(0);
  });

  it('names the rule of an empty buffer', () => {
    const rig = new RawRig(new EntropyDevice());
    rig.offerWritable(0, 0, 0);
    expect(rig.rule).toBe('rng.driver.empty');
  });
});

describe('a slow source', () => {
  it('is asked once, however many buffers wait', () => {
    const { source, rig } = slow();
    for (let buffer = 0; buffer < 8; buffer++) rig.offerWritable(0, buffer, 64);
    expect(source.asked).toHaveLength(1);
  });

  it('that never answers delays no suspend, save or reset', () => {
    const { rig } = slow();
    rig.offerWritable(0, 0, 64);
    rig.suspend();
    expect(rig.device.status).toBe(0x1b);
    expect(() => rig.device.save()).not.toThrow();
    rig.resume();
    rig.device.writeStatus(0);
    expect(rig.device.status).toBe(0);
    expect(rig.device.inFlight).toBe(0);
  });

  it('that answers a former life has no effect on the next one', async () => {
    const { source, rig } = slow();
    rig.offerWritable(0, 0, 64);
    rig.restart();
    rig.offerWritable(0, 0, 64);
    expect(source.asked).toHaveLength(2);
    source.answer(1);
    await settled();
    expect(rig.used(0)).toEqual([]);
    source.answer(2);
    await settled();
    expect(rig.used(0)).toEqual([new Uint8Array(64).fill(2)]);
  });

  it('that fails for a former life does not fail the next one', async () => {
    const { source, rig } = slow();
    rig.offerWritable(0, 0, 64);
    rig.restart();
    source.asked.shift()!.reject(new Error('too late'));
    await settled();
    expect(rig.device.status).toBe(0x0f);
  });
});

describe('a source that fails', () => {
  it('later fails the device, and is asked again after a reset', async () => {
    const { source, rig } = slow();
    rig.offerWritable(0, 0, 64);
    source.asked.shift()!.reject(new Error('the generator is gone'));
    await settled();
    expect(rig.device.status).toBe(0x4f);
    expect(rig.device.failure?.message).toBe('the generator is gone');
    expect(rig.events).toContain('config');

    rig.restart();
    rig.offerWritable(0, 0, 64);
    source.answer(9);
    await settled();
    expect(rig.used(0)).toEqual([new Uint8Array(64).fill(9)]);
  });

  it('at once fails the device, and is asked again after a reset', () => {
    let broken = true;
    const rig = new RawRig(
      new EntropyDevice((bytes) => {
        if (broken) throw new Error('no entropy today');
        bytes.fill(3);
      }),
    );
    rig.offerWritable(0, 0, 64);
    expect(rig.device.status).toBe(0x4f);
    expect(rig.device.failure?.message).toBe('no entropy today');
    broken = false;
    rig.restart();
    rig.offerWritable(0, 0, 64);
    expect(rig.used(0)).toEqual([new Uint8Array(64).fill(3)]);
  });

  it('while the device is suspended fails it in silence', async () => {
    const { source, rig } = slow();
    rig.offerWritable(0, 0, 64);
    rig.suspend();
    rig.events.length = 0;
    source.asked.shift()!.reject(new Error('gone'));
    await settled();
    expect(rig.device.status).toBe(0x5b);
    expect(rig.events).not.toContain('config');
    rig.resume();
    expect(rig.device.status).toBe(0x5b);
  });
});
