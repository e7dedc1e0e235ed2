import type { AccessWidth } from '../../spec/access-width.ts';
import type { MmioDevice } from '../../transports/mmio/device.ts';
import type { MmioAccess } from '../../transports/mmio/driver.ts';

/** A bus of one MMIO device and one driver: accesses are calls, the interrupt line is a call back. */
export class MmioLoopback implements MmioAccess {
  onInterrupt: (() => void) | undefined;
  #device!: MmioDevice;

  constructor(device: MmioDevice) {
    this.connect(device);
  }

  /** Puts another device behind the driver, as when a saved state goes on in a new one. A line that is up is noticed. */
  connect(device: MmioDevice): void {
    this.#device = device;
    device.onInterruptLine = (asserted) => {
      if (asserted) this.onInterrupt?.();
    };
    if (device.interruptLine) this.onInterrupt?.();
  }

  read(offset: number, width: AccessWidth): number {
    return this.#device.read(offset, width);
  }

  write(offset: number, width: AccessWidth, value: number): void {
    this.#device.write(offset, width, value);
  }
}
