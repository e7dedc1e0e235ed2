import type { PciFunction } from '../../transports/pci/function.ts';
import type { V86Io } from './emulator.ts';

/**
 * Shows an I/O BAR at ports from `base` on. v86 moves the handlers, port by port, when the BAR's address changes, so each
 * knows its offset. `before` is called ahead of each access.
 */
export function registerIoBar(io: V86Io, pci: PciFunction, bar: number, base: number, before: () => void): void {
  const size = pci.bars.find(({ index }) => index === bar)?.size ?? 0;
  for (let offset = 0; offset < size; offset++) {
    const read = (width: 1 | 2 | 4) => (): number => {
      before();
      // v86 takes 32-bit values as signed.
      return width === 4 ? pci.readBar(bar, offset, 4) | 0 : pci.readBar(bar, offset, width);
    };
    const write =
      (width: 1 | 2 | 4) =>
      (value: number): void => {
        before();
        pci.writeBar(bar, offset, width, width === 4 ? value >>> 0 : value & (2 ** (8 * width) - 1));
      };
    io.register_read(base + offset, pci, read(1), read(2), read(4));
    io.register_write(base + offset, pci, write(1), write(2), write(4));
  }
}
