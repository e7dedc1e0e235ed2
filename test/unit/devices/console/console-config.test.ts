import { describe, expect, it } from 'vitest';
import { ConsoleDevice } from '../../../../src/devices/console/device.ts';
import { RawRig, settled } from '../type-rig.ts';
import { bytes, FEATURES, start, Terminal, TRANSMIT } from './console-rig.ts';

const EMERG_WR = 8;

function size(rig: RawRig): number[] {
  return [rig.device.readConfig(0, 2), rig.device.readConfig(2, 2)];
}

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
