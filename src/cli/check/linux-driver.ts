import { createHash } from 'node:crypto';
import { SECTOR_BYTES } from '../../devices/block/layout.ts';
import type { Machine } from '../../machine/machine.ts';
import { byteOf } from './bench.ts';
import { expect } from './case-failed.ts';
import type { DriverUnderTest, GivenUp, Load } from './driver-case.ts';

const BUS = '/sys/bus/pci/drivers/virtio-pci';
const DEVICE = '/sys/bus/virtio/devices/virtio*';
/** How long the driver waits for the device; it then resets it. */
const SUSPEND_LIMIT_MS = 1000;
const SETTINGS = [
  `echo ${SUSPEND_LIMIT_MS} >/sys/module/virtio_suspend/parameters/suspend_timeout_ms`,
  'echo 1 >/sys/module/virtio_blk/parameters/leave_in_flight',
].join(' && ');
/** Read from each sector on: dd has a buffer of this size where O_DIRECT wants it, and else reads through the page cache. */
const BLOCK_BYTES = 4096;
/** Error numbers of Linux: EIO, ENODATA, ENODEV, ETIMEDOUT. */
const WHY: Readonly<Record<string, GivenUp>> = {
  '-5': 'it needs a reset',
  '-61': 'it was reset',
  '-19': 'it is gone',
  '-110': 'it takes too long',
};
/** Of files in the guest. */
let loads = 0;

/** The block driver of a Linux with the modules that suspend, over the guest's command line. */
export class LinuxDriver implements DriverUnderTest {
  readonly manyCycles = 10;
  readonly lostRequests = 'are done again';
  readonly #machine: Machine;
  /** The PCI function. */
  readonly #address: string;

  constructor(machine: Machine) {
    this.#machine = machine;
    const slot = machine.host.places[0]!.slot.toString(16).padStart(2, '0');
    this.#address = `0000:00:${slot}.0`;
  }

  async initialize(): Promise<void> {
    await this.#run(`${SETTINGS} && echo ${this.#address} >${BUS}/bind && [ -b /dev/vda ]`);
  }

  /** Lets Linux forget the function, if it has it. */
  async remove(): Promise<void> {
    await this.#run(`[ ! -e ${BUS}/${this.#address} ] || echo ${this.#address} >${BUS}/unbind`);
  }

  /** It has reset the device by itself, unless that could not be. */
  async recover(): Promise<void> {
    const isLost = await this.#run(`grep -c lost ${DEVICE}/suspend_stats || true`);
    if (isLost === '0\n') return;
    await this.remove();
    await this.initialize();
  }

  async begin(...sectors: readonly number[]): Promise<Load> {
    const load = `/tmp/load${loads++}`;
    const read = `dd if=/dev/vda of=${load}/$s bs=${BLOCK_BYTES} skip=$((s * ${SECTOR_BYTES})) count=1 iflag=direct,skip_bytes`;
    await this.#run(
      `mkdir ${load}; for s in ${sectors.join(' ')}; do (${read}; echo $? >${load}/$s.end) >/dev/null 2>&1 & done`,
    );
    return async () => {
      const ends = sectors.map((sector) => `${load}/${sector}.end`);
      const wait = ends.map((end) => `while [ ! -s ${end} ]; do sleep 0.02; done`).join('; ');
      const files = sectors.map((sector) => `${load}/${sector}`).join(' ');
      const said = await this.#run(`${wait}; cat ${ends.join(' ')}; md5sum ${files}; rm -r ${load}`);
      const lines = said.split('\n');
      sectors.forEach((sector, n) => {
        if (lines[n] !== '0') throw new Error(`the read of sector ${sector} failed in the guest`);
        expect(lines[sectors.length + n]?.startsWith(md5Of(sector)), `sector ${sector} has other bytes`);
      });
    };
  }

  async suspend(): Promise<void> {
    await this.#run(`echo 1 >$(echo ${DEVICE}/suspend) && [ $(cat ${DEVICE}/suspend) = 1 ]`);
  }

  async resume(): Promise<void> {
    await this.#run(`echo 0 >$(echo ${DEVICE}/suspend) && [ $(cat ${DEVICE}/suspend) = 0 ]`);
  }

  /** The modules log the number of the error, and the kernel forgets it here for the next time. */
  async whyGivenUp(): Promise<GivenUp | undefined> {
    const log = await this.#run('dmesg -c');
    const number = /virtio\d+: (?:suspend|resume) failed \((-\d+)\)/.exec(log)?.[1];
    return number === undefined ? undefined : WHY[number];
  }

  async capacitySectors(): Promise<number> {
    return Number(await this.#run('cat /sys/block/vda/size'));
  }

  async #run(command: string): Promise<string> {
    const { output, exitCode } = await this.#machine.command(command);
    if (exitCode !== 0) throw new Error(`"${command}" in the guest ended with ${exitCode}: ${output}`);
    return output;
  }
}

/** Of what a block has to hold. */
function md5Of(sector: number): string {
  const bytes = new Uint8Array(BLOCK_BYTES);
  for (let n = 0; n < BLOCK_BYTES / SECTOR_BYTES; n++) {
    bytes.fill(byteOf(sector + n), n * SECTOR_BYTES, (n + 1) * SECTOR_BYTES);
  }
  return createHash('md5').update(bytes).digest('hex');
}
