import type { Device } from '../../device/device.ts';
import type { Later } from '../../driver/transport.ts';
import { MmioLoopback } from '../../hosts/loopback/mmio.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { Recorder } from '../../record/recorder.ts';
import { recordedMmio } from '../../record/transports.ts';
import type { AccessWidth } from '../../spec/access-width.ts';
import { Mmio, MmioInterrupt } from '../../spec/mmio.ts';
import { MmioDevice } from '../../transports/mmio/device.ts';
import type { MmioAccess } from '../../transports/mmio/driver.ts';
import { Variation } from './variation.ts';
import { recordInterrupts } from './varied-function.ts';

/** A device as its driver is to see it over MMIO, with a recorder between the two: what the driver sees is what counts. */
export function recordVariedMmio(
  recorder: Recorder,
  device: Device,
  memory: GuestMemory,
): { readonly varied: VariedMmio; readonly bus: MmioAccess } {
  recordInterrupts(recorder, device, memory);
  const varied = new VariedMmio(new MmioLoopback(new MmioDevice(device)));
  varied.onNothing = () => {
    recorder.event({ kind: 'interrupt', cause: 'used' });
    recorder.event({ kind: 'interrupt', cause: 'config' });
  };
  return { varied, bus: recordedMmio(recorder, varied) };
}

/** A device as its driver sees it through the registers of MMIO, varied. */
export class VariedMmio implements MmioAccess {
  onInterrupt: (() => void) | undefined;
  /** Called before the driver is told of nothing. */
  onNothing: () => void = () => {};
  readonly variation: Variation = new Variation();
  readonly #bus: MmioLoopback;
  /** What the interrupt status says besides, for nothing. */
  #spurious = 0;
  #featureWord = 0;

  constructor(bus: MmioLoopback) {
    this.#bus = bus;
    bus.onInterrupt = () => this.onInterrupt?.();
  }

  /** Notifications for which there is no reason. */
  notifyForNothing(): void {
    this.onNothing();
    this.#spurious = MmioInterrupt.USED_BUFFER | MmioInterrupt.CONFIG_CHANGE;
    this.onInterrupt?.();
  }

  read(offset: number, width: AccessWidth): Later<number> {
    const own = (): number => this.#bus.read(offset, width);
    if (offset === Mmio.STATUS) return this.variation.shown(own);
    if (offset === Mmio.DEVICE_FEATURES) return this.#offered(own());
    return offset === Mmio.INTERRUPT_STATUS ? own() | this.#spurious : own();
  }

  write(offset: number, width: AccessWidth, value: number): Later<void> {
    const write = (): void => this.#bus.write(offset, width, value);
    if (offset === Mmio.STATUS) {
      if (value === 0) this.#spurious = 0;
      this.variation.written(value, write);
    } else if (offset === Mmio.QUEUE_NOTIFY) this.variation.kicked(write);
    else {
      if (offset === Mmio.DEVICE_FEATURES_SEL) this.#featureWord = value;
      if (offset === Mmio.INTERRUPT_ACK) this.#spurious &= ~value;
      write();
    }
  }

  #offered(own: number): number {
    const at = BigInt(32 * this.#featureWord);
    return Number((this.variation.offered(BigInt(own >>> 0) << at) >> at) & 0xffff_ffffn);
  }
}
