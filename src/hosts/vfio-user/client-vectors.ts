import type { AccessWidth } from '../../spec/access-width.ts';
import { TransportError } from '../../spec/fault.ts';
import { Msix } from '../../spec/pci.ts';
import type { PciMessage, PciMessages } from '../../transports/pci/driver-vectors.ts';
import type { MsixCapability } from '../../transports/pci/found-capabilities.ts';
import { MsixTable } from '../../transports/pci/msix-table.ts';
import { EventFd } from '../../unix/event-fd.ts';
import { whenReadable } from '../../unix/poller.ts';
import { Irq, MOST_FDS, SetIrqs } from './messages.ts';
import type { RequestSocket } from './request-socket.ts';

/** Where messages go; nobody else looks. The data is the vector. */
const MESSAGE_ADDRESS = 0xfee0_0000;
const SET_BYTES = 20;

interface Vector {
  readonly event: EventFd;
  readonly poll: { close(): void };
}

/** The MSI-X table of a function, which in vfio-user is the client's: the server signals an eventfd for each vector. */
export class ClientVectors implements PciMessages {
  readonly #requests: RequestSocket;
  readonly #capability: MsixCapability;
  readonly #table: MsixTable;
  readonly #handlers: (() => void)[] = [];
  readonly #vectors: Vector[] = [];

  constructor(requests: RequestSocket, capability: MsixCapability) {
    this.#requests = requests;
    this.#capability = capability;
    this.#table = new MsixTable(capability.vectors);
    this.#table.onMessage = (address, data) => {
      if (address === MESSAGE_ADDRESS) this.#handlers[data]?.();
    };
  }

  messageFor(vector: number, handler: () => void): PciMessage {
    this.#handlers[vector] = handler;
    return { address: MESSAGE_ADDRESS, data: vector };
  }

  /** Whether an access of a BAR is one of the table. */
  has(bar: number, offset: number): boolean {
    const { bar: own, tableOffset } = this.#capability;
    return bar === own && offset >= tableOffset && offset < tableOffset + this.#table.tableBytes;
  }

  read(offset: number, width: AccessWidth): number {
    return this.#table.readTable(offset - this.#capability.tableOffset, width);
  }

  write(offset: number, width: AccessWidth, value: number): void {
    this.#table.writeTable(offset - this.#capability.tableOffset, width, value);
  }

  /** Whether a write of configuration space is one of the control register. */
  isControl(offset: number, width: AccessWidth): boolean {
    return offset === this.#capability.offset + Msix.CONTROL && width === 2;
  }

  /** The control register was written: gives the server an eventfd for each vector, or takes them away. */
  async control(value: number): Promise<void> {
    const wasEnabled = this.#table.enabled;
    this.#table.control = value;
    if (this.#table.enabled && !wasEnabled) await this.#enable();
    if (!this.#table.enabled && wasEnabled) await this.#disable();
  }

  /** Signals that came are told at once, not when the event loop gets to them. */
  flush(): void {
    for (const [vector, { event }] of this.#vectors.entries()) if (event.take()) this.#table.signal(vector);
  }

  close(): void {
    for (const { event, poll } of this.#vectors.splice(0)) {
      poll.close();
      event.close();
    }
  }

  async #enable(): Promise<void> {
    if (this.#handlers.length === 0) throw new TransportError('MSI-X is enabled before there are messages');
    for (let vector = 0; vector < this.#handlers.length; vector++) {
      const event = EventFd.create();
      const poll = whenReadable(event.fd, () => {
        if (event.take()) this.#table.signal(vector);
      });
      this.#vectors.push({ event, poll });
    }
    const flags = SetIrqs.EVENTFD | SetIrqs.TRIGGER;
    for (let start = 0; start < this.#vectors.length; start += MOST_FDS) {
      const fds = this.#vectors.slice(start, start + MOST_FDS).map(({ event }) => event.fd);
      const set = { argsz: SET_BYTES, flags, index: Irq.MSIX, start, count: fds.length };
      await this.#requests.request('setIrqs', set, { fds });
    }
  }

  async #disable(): Promise<void> {
    const set = { argsz: SET_BYTES, flags: SetIrqs.NONE | SetIrqs.TRIGGER, index: Irq.MSIX, start: 0, count: 0 };
    await this.#requests.request('setIrqs', set);
    this.close();
  }
}
