import type { AccessWidth } from '../../spec/access-width.ts';
import type { PciFunction } from '../../transports/pci/function.ts';
import { Errno, Region, RegionFlag, type Reply } from './messages.ts';
import { Refusal } from './refusal.ts';

const CONFIG_BYTES = 256;

/** Bytes of a region of a PCI function: a BAR, or configuration space. 0 for a region that it lacks. */
export function regionSize(fn: PciFunction, region: number): number {
  if (region === Region.CONFIG) return CONFIG_BYTES;
  return fn.bars.find(({ index }) => index === region)?.size ?? 0;
}

/** Throws Refusal for a region that no function has. */
export function regionInfo(fn: PciFunction, index: number): Omit<Reply<'regionInfo'>, 'argsz'> {
  if (index >= Region.COUNT) throw new Refusal(Errno.EINVAL, `there is no region ${index}`);
  const size = regionSize(fn, index);
  const flags = size === 0 ? 0 : RegionFlag.READ | RegionFlag.WRITE;
  return { flags, index, capabilities: 0, size, offset: 0 };
}

/** Reads from a region. Throws Refusal for what is not in it, and for a width that registers do not have. */
export function readRegion(fn: PciFunction, region: number, offset: number, count: number): Uint8Array {
  requireInside(fn, region, offset, count);
  const bytes = new Uint8Array(count);
  const view = new DataView(bytes.buffer);
  if (region !== Region.CONFIG) {
    for (const at of parts(count)) write(view, at, fn.readBar(region, offset + at.offset, at.width));
  } else if (isAccess(offset, count)) {
    write(view, { offset: 0, width: count }, fn.readConfig(offset, count));
  } else {
    // Many registers at once: those of the window into the BARs would have an effect.
    bytes.set(fn.configSpace.subarray(offset, offset + count));
  }
  return bytes;
}

/** Writes to a region. Throws as `readRegion` does, before anything is written. */
export function writeRegion(fn: PciFunction, region: number, offset: number, bytes: Uint8Array): void {
  requireInside(fn, region, offset, bytes.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (region !== Region.CONFIG) {
    for (const at of parts(bytes.length)) fn.writeBar(region, offset + at.offset, at.width, read(view, at));
    return;
  }
  for (let done = 0; done < bytes.length; ) {
    const width = ([4, 2, 1] as const).find((each) => each <= bytes.length - done && (offset + done) % each === 0)!;
    fn.writeConfig(offset + done, width, read(view, { offset: done, width }));
    done += width;
  }
}

interface Part {
  readonly offset: number;
  readonly width: AccessWidth;
}

const PARTS: Readonly<Record<number, readonly Part[]>> = {
  1: [{ offset: 0, width: 1 }],
  2: [{ offset: 0, width: 2 }],
  4: [{ offset: 0, width: 4 }],
  // §4.1.3.1: 64-bit fields are two of 32 bits.
  8: [
    { offset: 0, width: 4 },
    { offset: 4, width: 4 },
  ],
};

function parts(count: number): readonly Part[] {
  const found = PARTS[count];
  if (found === undefined) throw new Refusal(Errno.EINVAL, `no register has ${count} bytes`);
  return found;
}

function requireInside(fn: PciFunction, region: number, offset: number, count: number): void {
  if (count === 0 || offset + count > regionSize(fn, region)) {
    throw new Refusal(Errno.EINVAL, `region ${region} has no ${count} bytes at ${offset}`);
  }
}

function isAccess(offset: number, count: number): count is AccessWidth {
  return (count === 1 || count === 2 || count === 4) && offset % count === 0;
}

function read(view: DataView, { offset, width }: Part): number {
  if (width === 1) return view.getUint8(offset);
  return width === 2 ? view.getUint16(offset, true) : view.getUint32(offset, true);
}

function write(view: DataView, { offset, width }: Part, value: number): void {
  if (width === 1) view.setUint8(offset, value);
  else if (width === 2) view.setUint16(offset, value, true);
  else view.setUint32(offset, value, true);
}
