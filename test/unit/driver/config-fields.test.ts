import { describe, expect, it } from 'vitest';
import { readConfigFields } from '../../../src/driver/config-fields.ts';
import type { DriverTransport } from '../../../src/driver/transport.ts';
import { GuestMemory } from '../../../src/memory/guest-memory.ts';
import { ScriptedDevice } from '../../support/scripted-device.ts';

const CAPACITY = { offset: 8, bytes: 8 } as const;
const SIZE = { offset: 20, bytes: 4, feature: 1 } as const;
const MODE = { offset: 24, bytes: 1, feature: 0 } as const;

/** A device whose bytes are their own offsets, and the accesses to them. */
function makeDevice(): { device: DriverTransport & ScriptedDevice; reads: string[] } {
  const device = new ScriptedDevice(GuestMemory.over(new Uint8Array(0x1000)), 2);
  device.config = Uint8Array.from({ length: 60 }, (_, at) => at);
  const reads: string[] = [];
  const read = device.readConfig.bind(device);
  device.readConfig = (offset, width) => {
    reads.push(`${offset}:${width}`);
    return read(offset, width);
  };
  return { device, reads };
}

describe('fields of the configuration space (§2.5.1)', () => {
  it('are read in accesses of their own width, one of 8 bytes by its halves', async () => {
    const { device, reads } = makeDevice();
    const values = await readConfigFields(device, 0b11n, { CAPACITY, SIZE, MODE });
    expect(values).toEqual({ CAPACITY: 0x0b0a_0908 + 2 ** 32 * 0x0f0e_0d0c, SIZE: 0x1716_1514, MODE: 24 });
    expect(reads).toEqual(['8:4', '12:4', '20:4', '24:1']);
  });

  it('whose feature was not negotiated are left alone, and are 0', async () => {
    const { device, reads } = makeDevice();
    expect(await readConfigFields(device, 0b01n, { CAPACITY, SIZE, MODE })).toMatchObject({ SIZE: 0, MODE: 24 });
    expect(reads).toEqual(['8:4', '12:4', '24:1']);
  });

  it('are read again while their generation changes, a hundred times at most', async () => {
    const { device, reads } = makeDevice();
    let generations = 0;
    // It changes between the two looks at it of every attempt but the last.
    device.readConfigGeneration = () => (generations++ < 198 ? generations : 0);
    expect(await readConfigFields(device, 1n, { MODE })).toEqual({ MODE: 24 });
    expect(reads).toHaveLength(100);
    reads.length = 0;
    device.readConfigGeneration = () => device.generation++;
    await expect(readConfigFields(device, 1n, { MODE })).rejects.toMatchObject({ rule: 'config.device.generation' });
    expect(reads).toHaveLength(100);
  });
});
