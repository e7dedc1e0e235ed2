import type { AccessWidth } from '../../spec/access-width.ts';
import type { PortRead, V86Io, V86Pci } from './emulator.ts';
import { isBar, type PluggedFunction } from './plugged-function.ts';

const CONFIG_DATA = 0xcfc;
/** The widths that v86 serves at each of the four data ports. */
const WIDTHS: readonly (readonly AccessWidth[])[] = [[1, 2, 4], [1], [1, 2], [1]];

/**
 * Leads the guest's accesses to the configuration space of our functions to the functions. v86 alone would keep plain
 * memory: no read-only bits, no notice of the command register, no window to the BARs (§4.1.4.9).
 */
export function routeConfigAccess(
  io: V86Io,
  pci: V86Pci,
  functions: ReadonlyMap<number, PluggedFunction>,
  before: () => void,
): void {
  routeReads(io, pci, functions, before);
  const { pci_write8: write8, pci_write16: write16, pci_write32: write32 } = pci;
  const route =
    (width: AccessWidth, original: (address: number, value: number) => void) =>
    (address: number, value: number): void => {
      const target = functions.get((address >>> 8) & 0xffff);
      const offset = address & 0xff;
      if (target === undefined) {
        original.call(pci, address, value);
      } else if (!isBar(offset)) {
        before();
        target.writeConfig(offset, width, width === 4 ? value >>> 0 : value & (2 ** (8 * width) - 1));
      } else if (width === 4) {
        // v86 answers the sizing of a BAR, and moves its ports.
        original.call(pci, address, value);
        target.takeOverSpace();
      }
    };
  pci.pci_write8 = route(1, write8);
  pci.pci_write16 = route(2, write16);
  pci.pci_write32 = route(4, write32);
}

function routeReads(io: V86Io, pci: V86Pci, functions: ReadonlyMap<number, PluggedFunction>, before: () => void): void {
  for (const [n, widths] of WIDTHS.entries()) {
    const { read8, read16, read32 } = io.ports[CONFIG_DATA + n]!;
    const route = (width: AccessWidth, original: PortRead): PortRead | undefined => {
      if (!widths.includes(width)) return undefined;
      return (port) => {
        const address = pci.pci_addr32[0]!;
        const target = address < 0 ? functions.get((address >>> 8) & 0xffff) : undefined;
        if (target === undefined) return original.call(pci, port);
        before();
        const value = target.readConfig((address & 0xfc) + n, width);
        return width === 4 ? value | 0 : value;
      };
    };
    io.register_read(CONFIG_DATA + n, pci, route(1, read8), route(2, read16), route(4, read32));
  }
}
