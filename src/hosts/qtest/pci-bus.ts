import type { AccessWidth } from '../../spec/access-width.ts';
import { TransportError } from '../../spec/fault.ts';
import { PciHeader } from '../../spec/pci.ts';
import type { PciAccess } from '../../transports/pci/driver.ts';
import type { PciMessages } from '../../transports/pci/driver-vectors.ts';
import type { QtestSocket } from './qtest-socket.ts';

const CONFIG_ADDRESS = 0xcf8;
const CONFIG_DATA = 0xcfc;
const ENABLE = 0x8000_0000;
const SLOTS = 32;
const BARS = 6;
const NOTHING = 0xffff;

/** Where BARs go: what Q35 has free below 4 GiB, and ports above those of the chipset. */
const FIRST_PORT = 0xc000;
const FIRST_ADDRESS = 0xe000_0000;
const END_OF_ADDRESSES = 0xfec0_0000;
const END_OF_PORTS = 0x1_0000;

interface Bar {
  readonly kind: 'io' | 'memory';
  readonly address: number;
}

/** One PCI function of bus 0, its BARs assigned. */
export class QtestPciFunction implements PciAccess {
  readonly slot: number;
  /** PCI ids, as the function's configuration space has them. */
  readonly vendor: number;
  readonly device: number;
  onInterrupt: (() => void) | undefined;
  readonly messages?: PciMessages;
  readonly #qtest: QtestSocket;
  readonly #bars: readonly (Bar | undefined)[];

  constructor(
    qtest: QtestSocket,
    place: { readonly slot: number; readonly vendor: number; readonly device: number },
    bars: readonly (Bar | undefined)[],
    messages: PciMessages | undefined,
  ) {
    if (messages !== undefined) this.messages = messages;
    this.#qtest = qtest;
    this.slot = place.slot;
    this.vendor = place.vendor;
    this.device = place.device;
    this.#bars = bars;
  }

  readConfig(offset: number, width: AccessWidth): Promise<number> {
    return readConfig(this.#qtest, this.slot, offset, width);
  }

  writeConfig(offset: number, width: AccessWidth, value: number): Promise<void> {
    return writeConfig(this.#qtest, this.slot, offset, width, value);
  }

  async readBar(bar: number, offset: number, width: AccessWidth): Promise<number> {
    const { kind, address } = this.#bar(bar);
    if (kind === 'io') return this.#qtest.readPort(address + offset, width);
    return this.#qtest.readMemory(address + offset, width);
  }

  async writeBar(bar: number, offset: number, width: AccessWidth, value: number): Promise<void> {
    const { kind, address } = this.#bar(bar);
    if (kind === 'io') await this.#qtest.writePort(address + offset, width, value);
    else await this.#qtest.writeMemory(address + offset, width, value);
  }

  #bar(index: number): Bar {
    const bar = this.#bars[index];
    if (bar === undefined) throw new TransportError(`the PCI function in slot ${this.slot} has no BAR ${index}`);
    return bar;
  }
}

/** Finds the functions of bus 0 and gives each of their BARs an address, as firmware does; no firmware runs under qtest. */
export async function enumeratePci(qtest: QtestSocket, messages?: PciMessages): Promise<QtestPciFunction[]> {
  const space = { io: FIRST_PORT, memory: FIRST_ADDRESS };
  const found: QtestPciFunction[] = [];
  for (let slot = 0; slot < SLOTS; slot++) {
    const vendor = await readConfig(qtest, slot, PciHeader.VENDOR, 2);
    if (vendor === NOTHING) continue;
    const device = await readConfig(qtest, slot, PciHeader.DEVICE, 2);
    const bars = await assignBars(qtest, slot, space);
    found.push(new QtestPciFunction(qtest, { slot, vendor, device }, bars, messages));
  }
  return found;
}

async function assignBars(
  qtest: QtestSocket,
  slot: number,
  space: { io: number; memory: number },
): Promise<(Bar | undefined)[]> {
  const bars: (Bar | undefined)[] = [];
  for (let index = 0; index < BARS; index++) {
    const offset = PciHeader.BAR0 + 4 * index;
    const type = await readConfig(qtest, slot, offset, 4);
    await writeConfig(qtest, slot, offset, 4, 0xffff_ffff);
    const mask = await readConfig(qtest, slot, offset, 4);
    if (mask === 0) continue;
    const kind = (type & 1) === 1 ? 'io' : 'memory';
    // The lowest address bit that can be written is the size.
    const writable = (kind === 'io' ? mask & ~3 : mask & ~15) >>> 0;
    const address = place(space, kind, (writable & -writable) >>> 0);
    await writeConfig(qtest, slot, offset, 4, address);
    bars[index] = { kind, address };
    // Bits 2 and 1 are 2: the next register is the upper half of a 64-bit address.
    if (kind === 'memory' && (type & 6) === 4) {
      index++;
      await writeConfig(qtest, slot, offset + 4, 4, 0);
    }
  }
  return bars;
}

function place(space: { io: number; memory: number }, kind: 'io' | 'memory', size: number): number {
  const address = Math.ceil(space[kind] / size) * size;
  if (address + size > (kind === 'io' ? END_OF_PORTS : END_OF_ADDRESSES)) {
    throw new TransportError(`there is no room for a BAR of ${size} bytes: give the machine fewer devices`);
  }
  space[kind] = address + size;
  return address;
}

/** The two accesses go out one right after the other, so that none gets between them. */
async function readConfig(qtest: QtestSocket, slot: number, offset: number, width: AccessWidth): Promise<number> {
  const selected = qtest.writePort(CONFIG_ADDRESS, 4, configAddress(slot, offset));
  const [, value] = await Promise.all([selected, qtest.readPort(CONFIG_DATA + (offset & 3), width)]);
  return value;
}

async function writeConfig(
  qtest: QtestSocket,
  slot: number,
  offset: number,
  width: AccessWidth,
  value: number,
): Promise<void> {
  const selected = qtest.writePort(CONFIG_ADDRESS, 4, configAddress(slot, offset));
  await Promise.all([selected, qtest.writePort(CONFIG_DATA + (offset & 3), width, value)]);
}

function configAddress(slot: number, offset: number): number {
  return ENABLE + (slot << 11) + (offset & 0xfc);
}
