import type { Machine } from 'virtio-ts/machine';
import { threadTimeMs } from './thread-time.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

export const DISK_BYTES: number = 128 * MIB;
/** The front of each disk has a file system with one file; what is behind it is used without one. */
const FILE_SYSTEM_BYTES = 112 * MIB;
const FILE_BYTES = 96 * MIB;

export type DiskName = 'vda' | 'sda';
export const DISKS: readonly DiskName[] = ['vda', 'sda'];

interface Description {
  readonly name: string;
  readonly unit: 'IOPS' | 'MB/s';
  /** How much dd moves, and in blocks of which size. */
  readonly bytes: number;
  readonly blockBytes: number;
  /** What else dd is told. */
  readonly operands: (disk: DiskName) => string;
  /** `one`: each block is a request. `many`: the guest's page cache reads ahead and merges, as it does by default. */
  readonly blocksPerRequest: 'one' | 'many';
  /** Null where nothing was promised. */
  readonly leastRatio: number | null;
}

/** O_DIRECT, from the disk itself. */
const directRead = (disk: DiskName): string => `if=/dev/${disk} of=/dev/null iflag=direct`;

/**
 * O_DIRECT, to a file that is there. When it is written to the disk itself, each block waits for a worker thread, to which
 * Linux gives such a write when the writer falls asleep: 10,000 instructions more for each block, on any disk (measured).
 */
const directWrite = (disk: DiskName): string => `if=/dev/zero of=/mnt/${disk}/file oflag=direct conv=notrunc`;

const bufferedRead = (disk: DiskName): string => `if=/dev/${disk} of=/dev/null`;

const bufferedWrite = (disk: DiskName): string =>
  `if=/dev/zero of=/dev/${disk} seek=${FILE_SYSTEM_BYTES / (4 * KIB)} conv=fsync`;

const direct = { blocksPerRequest: 'one', leastRatio: 1.5 } as const;
const buffered = { unit: 'IOPS', bytes: 16 * MIB, blockBytes: 4 * KIB } as const;

const DESCRIPTIONS: readonly Description[] = [
  { ...direct, name: '4k reads', unit: 'IOPS', bytes: 16 * MIB, blockBytes: 4 * KIB, operands: directRead },
  { ...direct, name: '4k writes', unit: 'IOPS', bytes: 16 * MIB, blockBytes: 4 * KIB, operands: directWrite },
  { ...direct, name: '64k reads', unit: 'MB/s', bytes: DISK_BYTES, blockBytes: 64 * KIB, operands: directRead },
  { ...direct, name: '64k writes', unit: 'MB/s', bytes: FILE_BYTES, blockBytes: 64 * KIB, operands: directWrite },
  { ...direct, name: '1M reads', unit: 'MB/s', bytes: DISK_BYTES, blockBytes: MIB, operands: directRead },
  { ...direct, name: '1M writes', unit: 'MB/s', bytes: FILE_BYTES, blockBytes: MIB, operands: directWrite },
  { ...buffered, name: '4k buffered reads', operands: bufferedRead, blocksPerRequest: 'one', leastRatio: 1.5 },
  { ...buffered, name: '4k buffered writes', operands: bufferedWrite, blocksPerRequest: 'one', leastRatio: 1.5 },
  // Of 100 instructions that the guest executes here, 95 are the same for any disk: its system calls and page cache (measured).
  {
    ...buffered,
    name: '4k buffered reads, merged',
    operands: bufferedRead,
    blocksPerRequest: 'many',
    leastRatio: null,
  },
  {
    ...buffered,
    name: '4k buffered writes, merged',
    operands: bufferedWrite,
    blocksPerRequest: 'many',
    leastRatio: null,
  },
];

/** Something for the guest to do on one of its two disks, and how fast it was done. */
export class DiskWork {
  readonly description: Description;
  readonly #machine: Machine;

  private constructor(machine: Machine, description: Description) {
    this.#machine = machine;
    this.description = description;
  }

  /** Makes both disks ready: no scheduler, every byte written once, a file system with a file in it. */
  static async prepare(machine: Machine): Promise<DiskWork[]> {
    for (const disk of DISKS) {
      const commands = [
        `echo none >/sys/block/${disk}/queue/scheduler`,
        `dd if=/dev/zero of=/dev/${disk} bs=1M count=${DISK_BYTES / MIB} oflag=direct`,
        `mke2fs -F -b 4096 /dev/${disk} ${FILE_SYSTEM_BYTES / KIB}`,
        `mkdir -p /mnt/${disk}`,
        `mount -t ext4 -o noatime /dev/${disk} /mnt/${disk}`,
        `dd if=/dev/zero of=/mnt/${disk}/file bs=1M count=${FILE_BYTES / MIB} conv=fsync`,
      ];
      const { output, exitCode } = await machine.command(`{ ${commands.join(' && ')}; } 2>&1`);
      if (exitCode !== 0) throw new Error(`/dev/${disk} cannot be made ready: ${output}`);
    }
    return DESCRIPTIONS.map((description) => new DiskWork(machine, description));
  }

  /**
   * Does it once and returns the rate: between two marks from the guest around dd, in the time of the thread that the guest
   * runs in. The guest never idles meanwhile, as both disks answer within the register access that starts a request.
   */
  async measure(disk: DiskName): Promise<number> {
    const { name, unit, bytes, blockBytes, operands, blocksPerRequest } = this.description;
    const blocks = bytes / blockBytes;
    const [nomerges, readAheadKib] = blocksPerRequest === 'one' ? [2, 0] : [0, 128];
    const { serial } = this.#machine;
    const [from, to, { output }] = await Promise.all([
      serial.waitFor('<dd>').then(() => threadTimeMs()),
      serial.waitFor('</dd>').then(() => threadTimeMs()),
      this.#machine.command(
        [
          `echo ${nomerges} >/sys/block/${disk}/queue/nomerges`,
          `echo ${readAheadKib} >/sys/block/${disk}/queue/read_ahead_kb`,
          'echo 1 >/proc/sys/vm/drop_caches',
          "printf '<dd>' >/dev/ttyS0",
          `dd bs=${blockBytes} count=${blocks} ${operands(disk)} 2>&1`,
          "printf '</dd>' >/dev/ttyS0",
        ].join('; '),
      ),
    ]);
    if (!output.includes(`${blocks}+0 records out`)) throw new Error(`${name} on /dev/${disk}: ${output}`);
    const seconds = (to - from) / 1000;
    return unit === 'IOPS' ? blocks / seconds : bytes / 1e6 / seconds;
  }
}
