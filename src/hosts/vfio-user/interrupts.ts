import { Msix } from '../../spec/pci.ts';
import { MSIX_CAP } from '../../transports/pci/capabilities.ts';
import type { PciDevice } from '../../transports/pci/device.ts';
import { Errno, Irq, IrqFlag, type Reply, type Request, SetIrqs } from './messages.ts';
import { Refusal } from './refusal.ts';

/** Where the client is told of an interrupt; an eventfd, but for tests. */
export interface Signal {
  signal(): void;
  close(): void;
}

/** What the client's descriptors are made into. */
export interface SignalMaker {
  /** Takes a descriptor over; throws, and leaves it, when it is of the wrong kind. */
  trigger(fd: number): Signal;
  /** Takes over a descriptor with which the client unmasks: calls back whenever it does. */
  unmask(fd: number, callback: () => void): { close(): void };
}

const ACTIONS = SetIrqs.MASK | SetIrqs.UNMASK | SetIrqs.TRIGGER;
const DATA = SetIrqs.NONE | SetIrqs.BOOL | SetIrqs.EVENTFD;

/** The interrupts of a function as one client has set them up. */
export class ClientInterrupts {
  readonly #fn: PciDevice;
  readonly #make: SignalMaker;
  #intx: Signal | undefined;
  /** INTx masks itself when it was told of. */
  #masked = false;
  #unmask: { close(): void } | undefined;
  readonly #vectors: (Signal | undefined)[] = [];
  /** Vectors that were signalled while nobody could be told. */
  readonly #untold = new Set<number>();

  constructor(fn: PciDevice, make: SignalMaker) {
    this.#fn = fn;
    this.#make = make;
    fn.onInterruptLine = () => this.#tellLine();
    if (fn.interrupts.msix !== undefined) fn.interrupts.msix.onVector = (vector) => this.#tellVector(vector);
  }

  info(index: number): Omit<Reply<'irqInfo'>, 'argsz'> {
    if (index >= Irq.COUNT) throw new Refusal(Errno.EINVAL, `there are no interrupts of kind ${index}`);
    const intx = IrqFlag.EVENTFD | IrqFlag.MASKABLE | IrqFlag.AUTOMASKED;
    const flags = index === Irq.INTX ? intx : IrqFlag.EVENTFD;
    return { flags, index, count: this.#count(index) };
  }

  /**
   * Does what a `setIrqs` asks for. Descriptors that are kept are taken out of `fds`. Throws Refusal, with nothing changed
   * but what descriptors before a wrong one were for.
   */
  set({ flags, index, start, count }: Omit<Request<'setIrqs'>, 'argsz'>, data: Uint8Array, fds: number[]): void {
    const action = flags & ACTIONS;
    const kind = flags & DATA;
    const isOne = (bits: number): boolean => bits !== 0 && (bits & (bits - 1)) === 0;
    if ((flags & ~(ACTIONS | DATA)) !== 0 || !isOne(action) || !isOne(kind)) {
      throw new Refusal(Errno.EINVAL, `interrupts cannot be set with flags 0x${flags.toString(16)}`);
    }
    if (index >= Irq.COUNT || start + count > this.#count(index)) {
      throw new Refusal(Errno.EINVAL, `there are no interrupts ${start} to ${start + count} of kind ${index}`);
    }
    if (kind === SetIrqs.BOOL && data.length < count) {
      throw new Refusal(Errno.EINVAL, `${data.length} bytes say nothing of ${count} interrupts`);
    }
    if (kind === SetIrqs.EVENTFD) this.#assign({ action, index, start, count }, fds);
    else if (count === 0) this.#disable(action, index);
    else {
      for (let n = 0; n < count; n++) {
        if (kind === SetIrqs.NONE || data[n] !== 0) this.#act(action, index, start + n);
      }
    }
  }

  /** Nobody is told any more; descriptors are closed. */
  close(): void {
    this.#fn.onInterruptLine = undefined;
    if (this.#fn.interrupts.msix !== undefined) this.#fn.interrupts.msix.onVector = undefined;
    this.#closeLine();
    this.#closeVectors();
  }

  #count(index: number): number {
    if (index === Irq.MSIX) return this.#fn.interrupts.msix?.vectors ?? 0;
    return index === Irq.INTX ? 1 : 0;
  }

  #assign(
    { action, index, start, count }: { action: number; index: number; start: number; count: number },
    fds: number[],
  ): void {
    if (fds.length !== 0 && fds.length !== count) {
      throw new Refusal(Errno.EINVAL, `${fds.length} descriptors were sent for ${count} interrupts`);
    }
    if (action === SetIrqs.MASK || (action === SetIrqs.UNMASK && index !== Irq.INTX)) {
      throw new Refusal(Errno.ENOTTY, 'nobody is told of a mask by descriptor');
    }
    for (let n = start; n < start + count; n++) {
      const fd = fds[0];
      if (action === SetIrqs.UNMASK) this.#assignUnmask(fd);
      else if (index === Irq.INTX) this.#assignLine(fd);
      else this.#assignVector(n, fd);
      fds.shift();
    }
  }

  #assignLine(fd: number | undefined): void {
    const signal = fd === undefined ? undefined : made(() => this.#make.trigger(fd));
    this.#intx?.close();
    this.#intx = signal;
    this.#masked = false;
    this.#tellLine();
  }

  /** In vfio it is this that enables MSI-X; clients may have written the register, too. */
  #assignVector(vector: number, fd: number | undefined): void {
    const signal = fd === undefined ? undefined : made(() => this.#make.trigger(fd));
    this.#vectors[vector]?.close();
    this.#vectors[vector] = signal;
    if (this.#fn.interrupts.msix?.enabled === false) this.#fn.writeConfig(MSIX_CAP + Msix.CONTROL, 2, Msix.ENABLE);
    if (this.#untold.has(vector)) this.#tellVector(vector);
  }

  #assignUnmask(fd: number | undefined): void {
    const unmask = fd === undefined ? undefined : made(() => this.#make.unmask(fd, () => this.#unmasked()));
    this.#unmask?.close();
    this.#unmask = unmask;
  }

  #disable(action: number, index: number): void {
    if (action !== SetIrqs.TRIGGER) throw new Refusal(Errno.EINVAL, 'no interrupts at all cannot be masked');
    if (index === Irq.INTX) this.#closeLine();
    if (index !== Irq.MSIX) return;
    this.#closeVectors();
    this.#fn.writeConfig(MSIX_CAP + Msix.CONTROL, 2, 0);
  }

  #closeLine(): void {
    this.#intx?.close();
    this.#unmask?.close();
    this.#intx = this.#unmask = undefined;
    this.#masked = false;
  }

  #closeVectors(): void {
    for (const signal of this.#vectors.splice(0)) signal?.close();
    this.#untold.clear();
  }

  #act(action: number, index: number, n: number): void {
    if (action === SetIrqs.TRIGGER) (index === Irq.INTX ? this.#intx : this.#vectors[n])?.signal();
    else if (index === Irq.MSIX) throw new Refusal(Errno.ENOTTY, 'vectors are masked in the table of the client');
    else if (action === SetIrqs.MASK) this.#masked = true;
    else this.#unmasked();
  }

  #unmasked(): void {
    this.#masked = false;
    this.#tellLine();
  }

  #tellLine(): void {
    if (!this.#fn.interruptLine || this.#masked || this.#intx === undefined) return;
    this.#masked = true;
    this.#intx.signal();
  }

  #tellVector(vector: number): void {
    const signal = this.#vectors[vector];
    if (signal === undefined) this.#untold.add(vector);
    else {
      this.#untold.delete(vector);
      signal.signal();
    }
  }
}

/** What a descriptor is good for is its sender's fault. */
function made<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw new Refusal(Errno.EINVAL, (error as Error).message);
  }
}
