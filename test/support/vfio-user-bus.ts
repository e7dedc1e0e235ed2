import { ClientInterrupts } from '../../src/hosts/vfio-user/interrupts.ts';
import {
  type CommandName,
  commands,
  decode,
  encodeRequest,
  header,
  Irq,
  MessageFlag,
  Region,
  type Request,
  SetIrqs,
} from '../../src/hosts/vfio-user/messages.ts';
import { ServedFunction } from '../../src/hosts/vfio-user/served-function.ts';
import { Session } from '../../src/hosts/vfio-user/session.ts';
import { GuestMemory } from '../../src/memory/guest-memory.ts';
import type { AccessWidth } from '../../src/spec/access-width.ts';
import type { PciDevice } from '../../src/transports/pci/device.ts';
import type { PciAccess } from '../../src/transports/pci/driver.ts';

/** Stands for the descriptor of INTx. */
const LINE = 3;

/**
 * A function behind the messages of vfio-user without a socket: what goes there and back is bytes, but within the call. The memory
 * is the driver's as it is.
 */
export class VfioUserBus implements PciAccess {
  #onInterrupt: (() => void) | undefined;
  #missed = false;
  #session!: Session;

  constructor(fn: PciDevice) {
    this.connect(fn);
  }

  /** Puts another function behind the driver, served to it anew. */
  connect(fn: PciDevice): void {
    const interrupts = new ClientInterrupts(fn, {
      trigger: () => ({ signal: () => this.#interrupt(), close: () => {} }),
      unmask: () => ({ close: () => {} }),
    });
    this.#session = new Session(new ServedFunction(fn, new GuestMemory()), interrupts);
    this.#request('version', { major: 0, minor: 1 });
    this.#setLine(SetIrqs.EVENTFD | SetIrqs.TRIGGER, [LINE]);
  }

  get onInterrupt(): (() => void) | undefined {
    return this.#onInterrupt;
  }

  set onInterrupt(handler: (() => void) | undefined) {
    this.#onInterrupt = handler;
    if (this.#missed) this.#interrupt();
  }

  readConfig(offset: number, width: AccessWidth): number {
    return this.#read(Region.CONFIG, offset, width);
  }

  writeConfig(offset: number, width: AccessWidth, value: number): void {
    this.#write(Region.CONFIG, offset, width, value);
  }

  readBar(bar: number, offset: number, width: AccessWidth): number {
    return this.#read(bar, offset, width);
  }

  writeBar(bar: number, offset: number, width: AccessWidth, value: number): void {
    this.#write(bar, offset, width, value);
  }

  #interrupt(): void {
    this.#missed = this.#onInterrupt === undefined;
    if (this.#onInterrupt === undefined) return;
    this.#onInterrupt();
    this.#setLine(SetIrqs.NONE | SetIrqs.UNMASK);
  }

  #setLine(flags: number, fds: number[] = []): void {
    this.#request('setIrqs', { argsz: 20, flags, index: Irq.INTX, start: 0, count: 1 }, undefined, fds);
  }

  #read(region: number, offset: number, count: AccessWidth): number {
    const data = this.#request('regionRead', { offset, region, count });
    return data.reduceRight((sum, byte) => sum * 256 + byte, 0);
  }

  #write(region: number, offset: number, count: AccessWidth, value: number): void {
    const data = Uint8Array.from({ length: count }, (_, n) => Math.floor(value / 256 ** n) & 0xff);
    this.#request('regionWrite', { offset, region, count }, data);
  }

  /** The data of the reply. */
  #request<Name extends CommandName>(
    name: Name,
    fields: Request<Name>,
    data?: Uint8Array,
    fds: number[] = [],
  ): Uint8Array {
    const bytes = encodeRequest(7, name, fields, data === undefined ? {} : { data });
    const head = header.read(new DataView(bytes.buffer));
    const reply = this.#session.handle({ header: head, body: bytes.subarray(header.bytes), fds });
    if (reply === undefined || reply instanceof Promise) throw new Error(`${name} is not answered within the call`);
    const answer = header.read(new DataView(reply.buffer));
    if (answer.flags !== MessageFlag.REPLY || answer.id !== 7 || answer.size !== reply.length) {
      throw new Error(`${name} was refused: ${answer.error}`);
    }
    return decode(commands[name].reply, reply.subarray(header.bytes))!.data;
  }
}
