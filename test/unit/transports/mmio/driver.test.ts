/** The driver end over MMIO (§4.2.3). */
import { describe, expect, it } from 'vitest';
import { Device } from '../../../../src/device/device.ts';
import { BlockDevice } from '../../../../src/devices/block/device.ts';
import { BlockDriver } from '../../../../src/devices/block/driver.ts';
import { MmioLoopback } from '../../../../src/hosts/loopback/mmio.ts';
import { GuestAllocator } from '../../../../src/memory/allocator.ts';
import { GuestMemory } from '../../../../src/memory/guest-memory.ts';
import type { AccessWidth } from '../../../../src/spec/access-width.ts';
import { Mmio } from '../../../../src/spec/mmio.ts';
import { MemoryDisk } from '../../../../src/storage/memory-disk.ts';
import { MmioDevice } from '../../../../src/transports/mmio/device.ts';
import { type MmioAccess, MmioDriverTransport } from '../../../../src/transports/mmio/driver.ts';
import { pattern } from '../../../support/rig.ts';

/** Registers that read what a test says; notes each access. */
class FakeRegisters implements MmioAccess {
  readonly values = new Map<number, number>([
    [Mmio.MAGIC_VALUE, 0x74726976],
    [Mmio.VERSION, 2],
    [Mmio.DEVICE_ID, 2],
  ]);
  readonly log: string[] = [];
  onInterrupt: (() => void) | undefined;

  read(offset: number, width: AccessWidth): number {
    this.log.push(`read ${offset.toString(16)}:${width}`);
    return this.values.get(offset) ?? 0;
  }

  write(offset: number, width: AccessWidth, value: number): void {
    this.log.push(`write ${offset.toString(16)}:${width} ${value.toString(16)}`);
  }
}

async function opened(): Promise<{ registers: FakeRegisters; transport: MmioDriverTransport }> {
  const registers = new FakeRegisters();
  const transport = (await MmioDriverTransport.open(registers))!;
  registers.log.length = 0;
  return { registers, transport };
}

describe('a driver', () => {
  it('looks at magic, version and device id, in that order, before anything else', async () => {
    const registers = new FakeRegisters();
    expect((await MmioDriverTransport.open(registers))?.deviceId).toBe(2);
    expect(registers.log).toEqual(['read 0:4', 'read 4:4', 'read 8:4']);
  });

  it.each([
    ['another magic', Mmio.MAGIC_VALUE, 0x74726977, 'mmio.device.regs.1', 1],
    ['nothing there', Mmio.MAGIC_VALUE, 0xffff_ffff, 'mmio.device.regs.1', 1],
    ['a legacy device', Mmio.VERSION, 1, 'mmio.device.regs.2', 2],
    ['a version to come', Mmio.VERSION, 3, 'mmio.device.regs.2', 2],
  ])('touches nothing more of %s', async (_, register, value, rule, reads) => {
    const registers = new FakeRegisters();
    registers.values.set(register, value);
    await expect(MmioDriverTransport.open(registers)).rejects.toMatchObject({ rule });
    expect(registers.log).toHaveLength(reads);
  });

  it('finds no device, and no fault either, in a place that is kept free', async () => {
    const registers = new FakeRegisters();
    registers.values.set(Mmio.DEVICE_ID, 0);
    expect(await MmioDriverTransport.open(registers)).toBeUndefined();
    expect(registers.log).toHaveLength(3);
  });

  it('reads and writes a configuration field in one access of its width', async () => {
    const { registers, transport } = await opened();
    for (const width of [1, 2, 4] as const) {
      await transport.readConfig(8, width);
      await transport.writeConfig(12, width, 5);
    }
    expect(registers.log).toEqual([
      ...['read 108:1', 'write 10c:1 5', 'read 108:2', 'write 10c:2 5', 'read 108:4', 'write 10c:4 5'],
    ]);
  });

  it('acknowledges what it handles, and nothing that it does not know, before it looks', async () => {
    const { registers, transport } = await opened();
    const called: string[] = [];
    transport.onUsedBuffer = () => called.push(`used after ${registers.log.at(-1)}`);
    transport.onConfigChange = () => called.push('config');
    registers.values.set(Mmio.INTERRUPT_STATUS, 0xffff_fff1);
    registers.onInterrupt?.();
    registers.values.set(Mmio.INTERRUPT_STATUS, 2);
    registers.onInterrupt?.();
    registers.values.set(Mmio.INTERRUPT_STATUS, 0xf0);
    registers.onInterrupt?.();
    expect(called).toEqual(['used after write 64:4 1', 'config']);
    expect(registers.log).toEqual(['read 60:4', 'write 64:4 1', 'read 60:4', 'write 64:4 2', 'read 60:4']);
  });

  it('names a queue in its kicks, and where the next buffer comes when that was negotiated', async () => {
    const { registers, transport } = await opened();
    transport.kick(3);
    transport.kick(1, 0x8002);
    expect(registers.log).toEqual(['write 50:4 3', 'write 50:4 80020001']);
  });

  it('finds shared memory by its id', async () => {
    const { registers, transport } = await opened();
    registers.values.set(Mmio.SHM_LEN, 0x1000).set(Mmio.SHM_LEN + 4, 1);
    registers.values.set(Mmio.SHM_BASE, 0x2000).set(Mmio.SHM_BASE + 4, 3);
    expect(await transport.sharedMemory(9)).toEqual({ id: 9, length: 0x1_0000_1000, address: 0x3_0000_2000 });
    expect(registers.log[0]).toBe('write ac:4 9');
    registers.values.set(Mmio.SHM_LEN, 0xffff_ffff).set(Mmio.SHM_LEN + 4, 0xffff_ffff);
    expect(await transport.sharedMemory(9)).toBeUndefined();
  });
});

it('a driver goes on with another device behind its registers, and loses nothing', async () => {
  const memory = GuestMemory.over(new Uint8Array(1 << 20));
  const disk = new MemoryDisk({ capacitySectors: 64 });
  const make = (): MmioDevice => new MmioDevice(new Device(new BlockDevice(disk), memory));
  let mmio = make();
  const bus = new MmioLoopback(mmio);
  const driver = new BlockDriver((await MmioDriverTransport.open(bus))!, new GuestAllocator(memory, 0x1000, 0xff000));
  await driver.initialize();
  await driver.write(1, pattern(4096));
  for (let round = 0; round < 3; round++) {
    await driver.suspend();
    const state = JSON.stringify(mmio.save());
    mmio = make();
    mmio.restore(JSON.parse(state));
    bus.connect(mmio);
    await driver.resume();
    expect(await driver.read(1, 4096)).toEqual(pattern(4096));
  }
});
