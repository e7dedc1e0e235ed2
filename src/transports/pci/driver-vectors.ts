import type { Later } from '../../driver/transport.ts';
import { ProtocolError } from '../../spec/fault.ts';
import { Msix, NO_VECTOR, PciCommon } from '../../spec/pci.ts';
import type { PciAccess } from './driver.ts';
import type { FoundCapabilities } from './found-capabilities.ts';

/** Where a driver's MSI-X messages go; the host's part. */
export interface PciMessages {
  /** What a function is to write, and where, to have `handler` called: a message of its own for each vector. */
  messageFor(vector: number, handler: () => void): PciMessage;
}

export interface PciMessage {
  readonly address: number;
  readonly data: number;
}

const CONFIG_VECTOR = 0;
const FIRST_QUEUE_VECTOR = 1;

/** The MSI-X vectors of a function as its driver uses them: one for configuration changes, the others for the queues. */
export class DriverVectors {
  onUsedBuffer: (() => void) | undefined;
  onConfigChange: (() => void) | undefined;
  readonly #vectors: number;

  private constructor(vectors: number) {
    this.#vectors = vectors;
  }

  /**
   * Gives as many vectors as there are events, or as the function has, a message each, and enables MSI-X. Undefined when
   * the host has no messages, or the function less than two vectors: one alone would not tell which event it is of.
   */
  static async open(access: PciAccess, found: FoundCapabilities): Promise<DriverVectors | undefined> {
    const { messages } = access;
    const { msix: capability, structures } = found;
    if (messages === undefined || capability === undefined || capability.vectors <= FIRST_QUEUE_VECTOR)
      return undefined;
    const queues = await access.readBar(structures.common.bar, structures.common.offset + PciCommon.NUM_QUEUES, 2);
    const vectors = new DriverVectors(Math.min(capability.vectors, 1 + queues));
    for (let vector = 0; vector < vectors.#vectors; vector++) {
      const { address, data } = messages.messageFor(vector, () =>
        vector === CONFIG_VECTOR ? vectors.onConfigChange?.() : vectors.onUsedBuffer?.(),
      );
      const entry = capability.tableOffset + Msix.ENTRY_BYTES * vector;
      const write = (offset: number, value: number): Later<void> =>
        access.writeBar(capability.bar, entry + offset, 4, value);
      await write(Msix.ENTRY_ADDRESS, address >>> 0);
      await write(Msix.ENTRY_ADDRESS + 4, Math.floor(address / 2 ** 32));
      await write(Msix.ENTRY_DATA, data);
      await write(Msix.ENTRY_CONTROL, 0);
    }
    const control = await access.readConfig(capability.offset + Msix.CONTROL, 2);
    const enabled = (control & ~Msix.MASK_ALL) | Msix.ENABLE;
    await access.writeConfig(capability.offset + Msix.CONTROL, 2, enabled);
    return vectors;
  }

  /** Maps configuration changes; a reset of the device forgets it. `register` is config_msix_vector. */
  async mapConfig(register: VectorRegister): Promise<void> {
    if (!(await maps(register, CONFIG_VECTOR))) throw refusal('configuration changes');
  }

  /** Maps a queue, whose queue_msix_vector is `register`: to a vector of its own where that can be, else to one that it shares. */
  async mapQueue(register: VectorRegister, queue: number): Promise<void> {
    const own = FIRST_QUEUE_VECTOR + (queue % (this.#vectors - FIRST_QUEUE_VECTOR));
    if ((await maps(register, own)) || (await maps(register, FIRST_QUEUE_VECTOR))) return;
    throw refusal(`queue ${queue}`);
  }
}

/** One of the fields that map an event to a vector. */
export interface VectorRegister {
  read(): Later<number>;
  write(vector: number): Later<void>;
}

/** Reads back what was written: a device that cannot map the vector shows none (§4.1.5.1.2.1). */
async function maps(register: VectorRegister, vector: number): Promise<boolean> {
  await register.write(vector);
  const mapped = await register.read();
  if (mapped !== vector && mapped !== NO_VECTOR) {
    throw new ProtocolError('pci.device.msix.6', `vector ${vector} was written, and ${mapped} is read back`);
  }
  return mapped === vector;
}

function refusal(what: string): ProtocolError {
  return new ProtocolError('pci.device.msix.4', `the device maps ${what} to no MSI-X vector`);
}
