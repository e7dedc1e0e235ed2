import { beforeEach, describe, expect, it } from 'vitest';
import { Device } from '../../../../src/device/device.ts';
import { ClientInterrupts } from '../../../../src/hosts/vfio-user/interrupts.ts';
import {
  type CommandName,
  commands,
  DeviceState,
  decode,
  encodeRequest,
  Feature,
  header,
  migrationState,
  Region,
  type Reply,
  type Request,
} from '../../../../src/hosts/vfio-user/messages.ts';
import { ServedFunction } from '../../../../src/hosts/vfio-user/served-function.ts';
import { Session } from '../../../../src/hosts/vfio-user/session.ts';
import { GuestMemory } from '../../../../src/memory/guest-memory.ts';
import { PciCommon } from '../../../../src/spec/pci.ts';
import { PciDevice } from '../../../../src/transports/pci/device.ts';
import { ControlledType } from '../../../support/controlled-type.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

let type: ControlledType;
let device: Device;
let clock: FakeClock;
let session: Session;
beforeEach(async () => {
  type = new ControlledType();
  clock = new FakeClock();
  const memory = GuestMemory.over(new Uint8Array(0x10000));
  device = new Device(type, memory, { clock });
  const fn = new PciDevice(device, { vectors: 2 });
  const ignored = { signal: () => {}, close: () => {} };
  const interrupts = new ClientInterrupts(fn, { trigger: () => ignored, unmask: () => ignored });
  session = new Session(new ServedFunction(fn, memory), interrupts);
  await ask('version', { major: 0, minor: 0 });
});

interface Answer<Name extends CommandName> {
  readonly error: number;
  readonly fields: Reply<Name>;
  readonly data: Uint8Array;
}

async function ask<Name extends CommandName>(
  name: Name,
  fields: Request<Name>,
  data?: Uint8Array,
): Promise<Answer<Name>> {
  const bytes = encodeRequest(1, name, fields, data === undefined ? {} : { data });
  const head = header.read(new DataView(bytes.buffer));
  const reply = (await session.handle({ header: head, body: bytes.subarray(header.bytes), fds: [] }))!;
  const { error, size } = header.read(new DataView(reply.buffer));
  expect(size).toBe(reply.length);
  const decoded = error === 0 ? decode(commands[name].reply, reply.subarray(header.bytes)) : undefined;
  return { error, fields: decoded?.values as Reply<Name>, data: decoded?.data ?? new Uint8Array(0) };
}

describe('the function', () => {
  it('is described as VFIO describes one', async () => {
    const { fields: info } = await ask('deviceInfo', { argsz: 16, flags: 0, regions: 0, interrupts: 0 });
    expect(info).toEqual({ argsz: 16, flags: 3, regions: 9, interrupts: 5 });
    const regions: number[] = [];
    for (let index = 0; index < 9; index++) {
      const { fields } = await ask('regionInfo', { argsz: 32, flags: 0, index, capabilities: 0, size: 0, offset: 0 });
      expect(fields).toMatchObject({ argsz: 32, index, flags: fields.size === 0 ? 0 : 3, capabilities: 0, offset: 0 });
      regions.push(fields.size);
    }
    expect(regions).toEqual([0, 4096, 0, 0, 0x4000, 0, 0, 256, 0]);
  });

  it('is not described to a client without room for it', async () => {
    expect(await ask('deviceInfo', { argsz: 15, flags: 0, regions: 0, interrupts: 0 })).toMatchObject({ error: 22 });
    const region = { argsz: 31, flags: 0, index: 0, capabilities: 0, size: 0, offset: 0 };
    expect(await ask('regionInfo', region)).toMatchObject({ error: 22 });
    expect(await ask('irqInfo', { argsz: 8, flags: 0, index: 0, count: 0 })).toMatchObject({ error: 22 });
  });
});

describe('registers', () => {
  const at = (offset: number, count: number): Request<'regionRead'> => ({ offset, region: 4, count });

  it('of 64 bits are written and read in one access', async () => {
    const data = Uint8Array.of(1, 2, 3, 4, 5, 6, 0, 0);
    expect(await ask('regionWrite', at(PciCommon.QUEUE_DESC, 8), data)).toMatchObject({ error: 0 });
    expect(device.queues[0]!.descriptorArea).toBe(0x0605_0403_0201);
    expect((await ask('regionRead', at(PciCommon.QUEUE_DESC, 8))).data).toEqual(data);
    expect((await ask('regionRead', at(PciCommon.QUEUE_DESC + 4, 4))).data).toEqual(data.subarray(4));
  });

  it('of configuration space are written in pieces of their own widths', async () => {
    const bytes = Uint8Array.of(0x07, 0x04, 0xff, 0xff, 0xff);
    await ask('regionWrite', { offset: 4, region: Region.CONFIG, count: 5 }, bytes);
    expect((await ask('regionRead', { offset: 4, region: Region.CONFIG, count: 2 })).data).toEqual(
      bytes.subarray(0, 2),
    );
    const { data } = await ask('regionRead', { offset: 3, region: Region.CONFIG, count: 3 });
    expect([...data]).toEqual([0x10, 0x07, 0x04]);
  });
});

describe('features', () => {
  const get = async (feature: number): Promise<Answer<'feature'>> => {
    return await ask('feature', { argsz: 16, flags: Feature.GET | feature });
  };
  const state = async (): Promise<number> => {
    const { data } = await get(Feature.DEVICE_STATE);
    return migrationState.read(new DataView(data.buffer, data.byteOffset)).state;
  };
  const setState = async (next: number): Promise<number> => {
    const data = new Uint8Array(8);
    data[0] = next;
    const { error, data: echo } = await ask('feature', { argsz: 16, flags: Feature.SET | Feature.DEVICE_STATE }, data);
    if (error === 0) expect(echo).toEqual(data);
    return error;
  };

  it('are those for migration, without pre-copy', async () => {
    const { fields, data } = await get(Feature.MIGRATION);
    expect([fields.argsz, ...data]).toEqual([16, 1, 0, 0, 0, 0, 0, 0, 0]);
    const probe = (flags: number): Promise<Answer<'feature'>> =>
      ask('feature', { argsz: 8, flags: Feature.PROBE | flags });
    expect(await probe(Feature.GET | Feature.SET | Feature.DEVICE_STATE)).toMatchObject({ error: 0 });
    expect(await probe(Feature.GET | Feature.MIGRATION)).toMatchObject({ error: 0 });
    expect(await probe(Feature.SET | Feature.MIGRATION)).toMatchObject({ error: 22 });
    expect(await probe(Feature.GET | 6)).toMatchObject({ error: 25 });
    expect(await ask('feature', { argsz: 8, flags: Feature.GET | Feature.MIGRATION })).toMatchObject({ error: 22 });
    expect(await ask('feature', { argsz: 16, flags: Feature.DEVICE_STATE })).toMatchObject({ error: 22 });
    const both = Feature.GET | Feature.SET | Feature.DEVICE_STATE;
    expect(await ask('feature', { argsz: 16, flags: both }, new Uint8Array(8))).toMatchObject({ error: 22 });
  });

  it('lead from every state to every other one, and the device is at rest in all but one', async () => {
    const { RUNNING, STOP, STOP_COPY, RESUMING } = DeviceState;
    expect(await state()).toBe(RUNNING);
    for (const from of [RUNNING, STOP, STOP_COPY]) {
      for (const to of [RUNNING, STOP, STOP_COPY, RESUMING]) {
        await ask('reset', {});
        expect([await setState(from), await setState(to)]).toEqual([0, 0]);
        expect([await state(), device.paused]).toEqual([to, to !== RUNNING]);
      }
    }
    expect([await setState(5), await setState(6), await setState(0)]).toEqual([22, 22, 22]);
    expect(await setState(RUNNING)).toBe(22);
    await ask('reset', {});
    expect([await state(), device.paused]).toEqual([RUNNING, false]);
  });

  it('give the state in pieces, to its end, and no piece of anything else', async () => {
    expect((await ask('readMigration', { argsz: 100, size: 100 })).error).toBe(22);
    expect((await ask('writeMigration', { argsz: 9, size: 1 }, Uint8Array.of(1))).error).toBe(22);
    await setState(DeviceState.STOP_COPY);
    const pieces: Uint8Array[] = [];
    for (;;) {
      const { fields, data } = await ask('readMigration', { argsz: 108, size: 100 });
      expect(fields).toEqual({ argsz: 8 + data.length, size: data.length });
      pieces.push(data);
      if (data.length < 100) break;
    }
    expect(JSON.parse(Buffer.concat(pieces).toString())).toMatchObject({ format: 'virtio-pci function' });
    expect((await ask('readMigration', { argsz: 100, size: 100 })).data).toHaveLength(0);
    expect((await ask('writeMigration', { argsz: 9, size: 2 }, Uint8Array.of(1))).error).toBe(22);
  });

  it('stop a back-end that takes too long within three seconds, with an error, and it runs on', async () => {
    type.stopping = 'when told';
    const stopping = setState(DeviceState.STOP);
    await clock.advance(3000);
    expect(await stopping).toBe(16);
    expect(await state()).toBe(DeviceState.RUNNING);
    type.steps.shift()!.settle();
  });

  it('take no more than any state has', async () => {
    await setState(DeviceState.RESUMING);
    const piece = new Uint8Array(1 << 20);
    const errors: number[] = [];
    for (let n = 0; n < 65; n++) {
      errors.push((await ask('writeMigration', { argsz: 8 + piece.length, size: piece.length }, piece)).error);
    }
    expect(errors.slice(0, 64).every((error) => error === 0)).toBe(true);
    expect(errors[64]).toBe(28);
  });
});
