import { describe, expect, it } from 'vitest';
import { Feature } from '../../src/spec/features.ts';
import { Mmio } from '../../src/spec/mmio.ts';
import { PciCommon } from '../../src/spec/pci.ts';
import { ControlledConfig, EVENTS, MORE_REQUESTS, REQUESTS } from '../support/controlled-type.ts';
import { SuspendRig, settings } from '../support/suspend-rig.ts';

/** Suspended, after some traffic, with buffers that wait in two queues, and nothing in `events`. */
async function suspended(...[setting, options]: Parameters<typeof SuspendRig.start>): Promise<SuspendRig> {
  const rig = await SuspendRig.start(setting, options);
  rig.send(REQUESTS, 1, 2, 3);
  rig.send(EVENTS, 4, 5);
  rig.suspend();
  expect(rig.status).toBe(0x1b);
  rig.events.length = 0;
  return rig;
}

describe.each(settings)('while suspended, over %s:', (_, setting) => {
  it('kicks read no ring, use no buffer and interrupt nobody; new buffers are found after the resume', async () => {
    const rig = await suspended(setting);
    await rig.untouched(() => {
      for (const queue of rig.queues.keys()) rig.kick(queue);
      rig.kick(7);
    });
    for (const queue of [REQUESTS, MORE_REQUESTS]) rig.expose(queue, 10 + queue);
    await rig.untouched(() => {
      for (const queue of rig.queues.keys()) rig.kick(queue);
    });
    expect(rig.events).toEqual([]);
    rig.resume();
    expect(rig.events).toEqual(['status 0f', 'used', 'collect 0:10', 'used', 'collect 1:11']);
  });

  it('the memory may be away: nothing is accessed, and the resume works once it is back', async () => {
    const rig = await suspended(setting);
    await rig.untouched(async () => {
      rig.kick(REQUESTS);
      rig.type.arrive(20);
      rig.type.change(1);
      await rig.clock.advance(60_000);
    });
    rig.resume();
    expect(rig.status).toBe(0x0f);
    rig.send(REQUESTS, 6);
    expect(rig.events.slice(-2)).toEqual(['used', 'collect 0:6']);
  });

  it('what arrives from outside writes to no buffer, interrupts nobody, and is delivered after the resume', async () => {
    const rig = await suspended(setting);
    let next = 30;
    await rig.untouched(() => rig.type.arrive(next++));
    expect(rig.events).toEqual([]);
    rig.resume();
    expect(rig.events.filter((event) => event !== 'used')).toEqual(['status 0f', 'collect 2:30', 'collect 2:31']);
  });

  it('a change of the configuration shows neither in it nor in its generation nor by an interrupt', async () => {
    const rig = await suspended(setting);
    const before = await rig.readConfig(0, ControlledConfig.BYTES);
    rig.type.change(0x1234);
    rig.type.change(0x5678);
    const { bytes, before: first, after } = await rig.readConfig(0, ControlledConfig.BYTES);
    expect([...bytes]).toEqual([...before.bytes]);
    expect([first, after]).toEqual([before.before, before.before]);
    expect(rig.events).toEqual([]);
    expect(rig.interruptPending ?? false).toBe(false);
  });

  it('several changes are shown and told once, after the device runs', async () => {
    const rig = await suspended(setting);
    const before = await rig.readConfig(0, 4);
    rig.type.change(1);
    rig.type.change(2);
    rig.resume();
    expect(rig.events.filter((event) => event === 'config')).toEqual(['config']);
    expect(rig.events.indexOf('config')).toBeGreaterThan(rig.events.indexOf('status 0f'));
    const { bytes, after } = await rig.readConfig(0, 4);
    expect([...bytes]).toEqual([2, 0, 0, 0]);
    expect(after).not.toBe(before.after);
  });

  it('a change that was taken back is told nevertheless', async () => {
    const rig = await suspended(setting);
    rig.type.change(1);
    rig.type.change(0);
    rig.resume();
    expect(rig.events.filter((event) => event === 'config')).toEqual(['config']);
  });

  it('a configuration write is ignored, then and after the resume', async () => {
    const rig = await suspended(setting);
    await rig.transport.writeConfig(ControlledConfig.KNOB, 1, 9);
    expect([...(await rig.readConfig(ControlledConfig.KNOB, 1)).bytes]).toEqual([0]);
    rig.resume();
    expect([...(await rig.readConfig(ControlledConfig.KNOB, 1)).bytes]).toEqual([0]);
    expect(rig.type.knob).toBe(0);
  });

  it('a field that a driver may write at any time takes the write', async () => {
    const rig = await suspended(setting);
    await rig.transport.writeConfig(ControlledConfig.URGENT, 1, 33);
    expect(rig.type.log).toContain('urgent 33');
    expect(rig.status).toBe(0x1b);
  });

  it('the status reads 0x1b however often, and reading has no effect', async () => {
    const rig = await suspended(setting);
    await rig.untouched(() => {
      for (let n = 0; n < 100; n++) expect(rig.status).toBe(0x1b);
    });
    expect(rig.events).toEqual([]);
  });

  it.each([0x1b, 0x10, 0x0b, 0x03, 0x01, 0x20, 0x40, 0x7b])('0x%x written changes nothing', async (value) => {
    const rig = await suspended(setting);
    rig.write(value);
    expect(rig.status).toBe(0x1b);
    expect(rig.events).toEqual([]);
    expect(rig.type.log).not.toContain('start');
  });

  it('FAILED is shown and does not resume; only a reset helps', async () => {
    const rig = await suspended(setting);
    await rig.untouched(() => {
      rig.write(0x9f);
      rig.write(0x1f);
      expect(rig.status).toBe(0x9b);
    });
    rig.write(0);
    expect(rig.status).toBe(0);
  });

  it('a queue that is not enabled cannot be', async () => {
    const rig = await suspended(setting, { leaveOut: [MORE_REQUESTS] });
    const enabling = Promise.resolve(rig.transport.enableQueue(MORE_REQUESTS, rig.queues[MORE_REQUESTS]!.layout));
    // With MSI-X it is noticed: vectors stay as they are, too.
    if (setting.way === 'pci msix') await expect(enabling).rejects.toMatchObject({ rule: 'pci.device.msix.4' });
    else await enabling;
    expect(rig.device.queues[MORE_REQUESTS]).toMatchObject({ enabled: false, descriptorArea: 0 });
    rig.expose(MORE_REQUESTS, 1);
    await rig.untouched(() => rig.kick(MORE_REQUESTS));
    rig.resume();
    expect(rig.events).toEqual(['status 0f']);
  });
});

describe.each(settings.filter(([, { way }]) => way !== 'direct'))(
  'while suspended, the registers over %s:',
  (_, setting) => {
    const registers = (rig: SuspendRig): Registers => (rig.pci === undefined ? mmioRegisters(rig) : pciRegisters(rig));

    it('selectors work, and what they select reads as before', async () => {
      const rig = await SuspendRig.start(setting);
      const before = registers(rig).readAll();
      rig.suspend();
      expect(registers(rig).readAll()).toEqual(before);
      rig.resume();
      expect(registers(rig).readAll()).toEqual(before);
    });

    // Messages wait elsewhere: see msix.test.ts.
    it.skipIf(setting.way === 'pci msix')(
      'an interrupt that was pending before stays so until it is read or acknowledged, and does not come back',
      async () => {
        const rig = await SuspendRig.start(setting);
        const { transport } = rig;
        const line = (): boolean | undefined => rig.interruptPending;
        // A driver whose interrupts are masked: nobody reads the register.
        const silent = (rig.pci ?? rig.mmio)!;
        const { onInterruptLine } = silent;
        silent.onInterruptLine = () => {};
        rig.expose(REQUESTS, 1);
        transport.kick(REQUESTS);
        expect(line()).toBe(true);
        rig.suspend();
        rig.type.change(4);
        expect(line()).toBe(true);
        expect(registers(rig).readInterrupt()).toBe(1);
        expect(line()).toBe(false);
        rig.kick(REQUESTS);
        expect(registers(rig).readInterrupt()).toBe(0);
        silent.onInterruptLine = onInterruptLine;
        rig.resume();
        expect(rig.events.at(-1)).toBe('config');
      },
    );

    it('a queue reset ends that queue at once, touches no ring, and it is not used after the resume', async () => {
      const rig = await suspended(setting, { offer: [Feature.RING_RESET] });
      rig.expose(MORE_REQUESTS, 9);
      await rig.untouched(() => {
        registers(rig).resetQueue(MORE_REQUESTS);
        expect(registers(rig).readReset(MORE_REQUESTS)).toBe(0);
        expect(rig.device.queues[MORE_REQUESTS]?.enabled).toBe(false);
      });
      rig.resume();
      rig.kick(MORE_REQUESTS);
      rig.send(REQUESTS, 7);
      expect(rig.events).toEqual(['status 0f', 'used', 'collect 0:7']);
      await rig.transport.enableQueue(MORE_REQUESTS, rig.queues[MORE_REQUESTS]!.layout);
      rig.kick(MORE_REQUESTS);
      expect(rig.events.slice(-2)).toEqual(['used', 'collect 1:9']);
    });

    it('what configures the device keeps its value', async () => {
      const rig = await suspended(setting);
      const before = registers(rig).readAll();
      registers(rig).disturb();
      expect(registers(rig).readAll()).toEqual(before);
      expect(rig.status).toBe(0x1b);
    });
  },
);

/** The registers of a transport, by what they are for. */
interface Registers {
  /** Features and every queue's fields, through the selectors. */
  readAll(): number[];
  /** Reads the interrupt register and clears what it shows. */
  readInterrupt(): number;
  resetQueue(queue: number): void;
  readReset(queue: number): number;
  /** Writes to everything that configures the device, but for the status. */
  disturb(): void;
}

function pciRegisters(rig: SuspendRig): Registers {
  const pci = rig.pci!;
  const io = rig.setting.way === 'pci io';
  const bar = io ? 0 : 4;
  const read = (offset: number, width: 1 | 2 | 4): number => pci.readBar(bar, offset, width);
  const write = (offset: number, width: 1 | 2 | 4, value: number): void => pci.writeBar(bar, offset, width, value);
  const addresses = [PciCommon.QUEUE_DESC, PciCommon.QUEUE_DRIVER, PciCommon.QUEUE_DEVICE].flatMap((at) => [
    at,
    at + 4,
  ]);
  return {
    readAll: () => {
      const values: number[] = [];
      for (const word of [0, 1]) {
        write(PciCommon.DRIVER_FEATURE_SELECT, 4, word);
        write(PciCommon.DEVICE_FEATURE_SELECT, 4, word);
        values.push(read(PciCommon.DRIVER_FEATURE, 4), read(PciCommon.DEVICE_FEATURE, 4));
      }
      for (let queue = 0; queue < read(PciCommon.NUM_QUEUES, 2); queue++) {
        write(PciCommon.QUEUE_SELECT, 2, queue);
        for (const at of [PciCommon.QUEUE_SIZE, PciCommon.QUEUE_ENABLE, PciCommon.QUEUE_NOTIFY_OFF])
          values.push(read(at, 2));
        for (const at of addresses) values.push(read(at, 4));
      }
      return values;
    },
    readInterrupt: () => read(io ? 0x40 : 0x1000, 1),
    resetQueue: (queue) => {
      write(PciCommon.QUEUE_SELECT, 2, queue);
      write(PciCommon.QUEUE_RESET, 2, 1);
    },
    readReset: (queue) => {
      write(PciCommon.QUEUE_SELECT, 2, queue);
      return read(PciCommon.QUEUE_RESET, 2);
    },
    disturb: () => {
      write(PciCommon.DRIVER_FEATURE, 4, 0);
      for (let queue = 0; queue < 3; queue++) {
        write(PciCommon.QUEUE_SELECT, 2, queue);
        write(PciCommon.QUEUE_SIZE, 2, 4);
        write(PciCommon.QUEUE_ENABLE, 2, 0);
        for (const at of addresses) write(at, 4, 0x4000);
      }
    },
  };
}

function mmioRegisters(rig: SuspendRig): Registers {
  const mmio = rig.mmio!;
  const read = (offset: number): number => mmio.read(offset, 4);
  const write = (offset: number, value: number): void => mmio.write(offset, 4, value);
  return {
    readAll: () => {
      const values: number[] = [];
      for (const word of [0, 1]) {
        write(Mmio.DEVICE_FEATURES_SEL, word);
        values.push(read(Mmio.DEVICE_FEATURES));
      }
      for (let queue = 0; queue < 4; queue++) {
        write(Mmio.QUEUE_SEL, queue);
        values.push(read(Mmio.QUEUE_SIZE_MAX), read(Mmio.QUEUE_READY));
      }
      // What is written to the other registers cannot be read back.
      return [...values, ...rig.device.queues.flatMap(({ layout }) => Object.values(layout))];
    },
    readInterrupt: () => {
      const value = read(Mmio.INTERRUPT_STATUS);
      write(Mmio.INTERRUPT_ACK, value);
      return value;
    },
    resetQueue: (queue) => {
      write(Mmio.QUEUE_SEL, queue);
      write(Mmio.QUEUE_RESET, 1);
    },
    readReset: (queue) => {
      write(Mmio.QUEUE_SEL, queue);
      return read(Mmio.QUEUE_RESET);
    },
    disturb: () => {
      write(Mmio.DRIVER_FEATURES, 0);
      for (let queue = 0; queue < 3; queue++) {
        write(Mmio.QUEUE_SEL, queue);
        write(Mmio.QUEUE_SIZE, 4);
        write(Mmio.QUEUE_READY, 0);
        for (const area of [Mmio.QUEUE_DESC, Mmio.QUEUE_DRIVER, Mmio.QUEUE_DEVICE]) {
          write(area, 0x4000);
          write(area + 4, 0);
        }
      }
    },
  };
}
