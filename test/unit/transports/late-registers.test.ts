/** Registers that answer later, as those behind a socket do. */
import { describe, expect, it } from 'vitest';
import { TransportError } from '../../../src/spec/fault.ts';
import { MMIO_MAGIC, MMIO_VERSION, Mmio, MmioInterrupt } from '../../../src/spec/mmio.ts';
import { type MmioAccess, MmioDriverTransport } from '../../../src/transports/mmio/driver.ts';
import { type PciAccess, PciDriverTransport } from '../../../src/transports/pci/driver.ts';
import { PciRig } from './pci/pci-rig.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const gone = new TransportError('the other end is gone');

/** An MMIO device whose interrupt status is `status`; what was done is in `log`, and writes end when `settle` is called. */
class LateMmio implements MmioAccess {
  onInterrupt: (() => void) | undefined;
  status = 0;
  readonly log: string[] = [];
  readonly #settle: (() => void)[] = [];

  async read(offset: number): Promise<number> {
    const identity = new Map<number, number>([
      [Mmio.MAGIC_VALUE, MMIO_MAGIC],
      [Mmio.VERSION, MMIO_VERSION],
      [Mmio.DEVICE_ID, 2],
      [Mmio.INTERRUPT_STATUS, this.status],
    ]);
    return identity.get(offset) ?? 0;
  }

  write(offset: number, _width: number, value: number): Promise<void> {
    return new Promise((resolve) => {
      this.#settle.push(() => {
        this.log.push(`written ${offset} ${value}`);
        resolve();
      });
    });
  }

  settle(): void {
    for (const done of this.#settle.splice(0)) done();
  }
}

describe('an interrupt over MMIO', () => {
  it('is acknowledged before the queues are looked at: what comes until then raises no other', async () => {
    const access = new LateMmio();
    const transport = (await MmioDriverTransport.open(access))!;
    transport.onUsedBuffer = () => access.log.push('used');
    transport.onConfigChange = () => access.log.push('config');
    access.status = MmioInterrupt.USED_BUFFER | MmioInterrupt.CONFIG_CHANGE;
    access.onInterrupt!();
    await turn();
    expect(access.log).toEqual([]);
    access.settle();
    await turn();
    expect(access.log).toEqual([`written ${Mmio.INTERRUPT_ACK} 3`, 'used', 'config']);
  });
});

describe('a device is lost, and says so, when nobody waits for the register that cannot be reached', () => {
  const losses: Error[] = [];
  const expectLoss = async (action: () => void): Promise<void> => {
    losses.length = 0;
    action();
    await turn();
    expect(losses).toEqual([gone]);
  };

  it('over MMIO', async () => {
    const access: MmioAccess = new LateMmio();
    const transport = (await MmioDriverTransport.open(access))!;
    transport.onLost = (error) => losses.push(error);
    access.write = () => Promise.reject(gone);
    await expectLoss(() => transport.kick(0));
    access.read = () => Promise.resolve(MmioInterrupt.USED_BUFFER);
    await expectLoss(() => access.onInterrupt!());
    access.read = () => Promise.reject(gone);
    await expectLoss(() => access.onInterrupt!());
  });

  it('over PCI', async () => {
    const { pci } = new PciRig();
    const access: PciAccess = {
      readConfig: (offset, width) => pci.readConfig(offset, width),
      writeConfig: (offset, width, value) => pci.writeConfig(offset, width, value),
      readBar: () => Promise.reject(gone),
      writeBar: () => Promise.reject(gone),
      onInterrupt: undefined,
    };
    const transport = await PciDriverTransport.open(access);
    transport.onLost = (error) => losses.push(error);
    await expectLoss(() => transport.kick(0));
    await expectLoss(() => transport.kick(0, 5));
    await expectLoss(() => access.onInterrupt!());
  });
});
