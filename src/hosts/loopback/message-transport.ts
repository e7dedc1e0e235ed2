import type { DriverTransport } from '../../driver/transport.ts';
import type { QueueLayout } from '../../queue/device-queue.ts';
import type { AccessWidth } from '../../spec/access-width.ts';
import { TransportError } from '../../spec/fault.ts';
import type { FeatureSet } from '../../spec/features.ts';
import type { CallName, DeviceCalls, DeviceMessage, DriverMessage, MessageEnd } from './messages.ts';

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/** What a call of the device's side gives. */
type Answer<Name extends CallName> = Awaited<ReturnType<DeviceCalls[Name]>>;

/**
 * The driver's end of a message channel to a device in another thread. Registers are calls that are answered later; kicks
 * and interrupts are messages of their own. All of them keep their order.
 */
export class MessageTransport implements DriverTransport {
  readonly deviceId: number;
  onUsedBuffer: (() => void) | undefined;
  onConfigChange: (() => void) | undefined;
  onLost: ((error: Error) => void) | undefined;
  readonly #port: MessageEnd;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 0;
  #lost: Error | undefined;

  private constructor(port: MessageEnd, deviceId: number) {
    this.#port = port;
    this.deviceId = deviceId;
    port.onmessage = ({ data }) => this.#receive(data);
  }

  /** Resolves when the other side serves its device. */
  static open(port: MessageEnd): Promise<MessageTransport> {
    return new Promise((resolve, reject) => {
      port.onmessage = ({ data }) => {
        const message = readDeviceMessage(data);
        if (message?.kind === 'ready') resolve(new MessageTransport(port, message.deviceId));
        else reject(new TransportError(`the device's side began with ${describe(data)} instead of "ready"`));
      };
    });
  }

  /** The other side is gone: what waits for an answer is rejected, and the driver learns of it. */
  lose(error: Error): void {
    if (this.#lost !== undefined) return;
    this.#lost = error;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
    this.onLost?.(error);
  }

  /** Calls the device's side. Rejects with its error, or with TransportError when it is gone. */
  call<Name extends CallName>(name: Name, ...args: Parameters<DeviceCalls[Name]>): Promise<Answer<Name>> {
    if (this.#lost !== undefined) return Promise.reject(this.#lost);
    const id = this.#nextId++;
    return new Promise<unknown>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      try {
        this.#post({ kind: 'call', id, name, args });
      } catch (error) {
        // An argument cannot be cloned.
        this.#waiting.delete(id);
        throw error;
      }
    }) as Promise<Answer<Name>>;
  }

  readStatus(): Promise<number> {
    return this.call('readStatus');
  }

  writeStatus(value: number): Promise<void> {
    return this.call('writeStatus', value);
  }

  readFeatures(): Promise<FeatureSet> {
    return this.call('readFeatures');
  }

  writeFeatures(features: FeatureSet): Promise<void> {
    return this.call('writeFeatures', features);
  }

  readQueueSize(index: number): Promise<number> {
    return this.call('readQueueSize', index);
  }

  enableQueue(index: number, layout: QueueLayout): Promise<void> {
    return this.call('enableQueue', index, layout);
  }

  resetQueue(index: number): Promise<void> {
    return this.call('resetQueue', index);
  }

  queueIsReset(index: number): Promise<boolean> {
    return this.call('queueIsReset', index);
  }

  readConfigGeneration(): Promise<number> {
    return this.call('readConfigGeneration');
  }

  readConfig(offset: number, width: AccessWidth): Promise<number> {
    return this.call('readConfig', offset, width);
  }

  writeConfig(offset: number, width: AccessWidth, value: number): Promise<void> {
    return this.call('writeConfig', offset, width, value);
  }

  kick(queue: number): void {
    if (this.#lost === undefined) this.#post({ kind: 'kick', queue });
  }

  #post(message: DriverMessage): void {
    this.#port.postMessage(message);
  }

  /** A device's side that says what nobody can understand, or answers what nobody asked, is given up. */
  #receive(data: unknown): void {
    if (this.#lost !== undefined) return;
    const message = readDeviceMessage(data);
    if (message?.kind === 'interrupt') {
      if (message.cause === 'used') this.onUsedBuffer?.();
      else this.onConfigChange?.();
      return;
    }
    const waiting = message === undefined || message.kind === 'ready' ? undefined : this.#waiting.get(message.id);
    if (message === undefined || message.kind === 'ready' || waiting === undefined) {
      this.lose(new TransportError(`the device's side sent ${describe(data)}, which makes no sense here`));
      return;
    }
    this.#waiting.delete(message.id);
    if (message.kind === 'answer') waiting.resolve(message.value);
    else waiting.reject(new TransportError(`the device's side: ${message.message}`));
  }
}

/** Undefined for what is no message of the device's side. */
function readDeviceMessage(data: unknown): DeviceMessage | undefined {
  if (typeof data !== 'object' || data === null) return undefined;
  const message = data as Partial<DeviceMessage>;
  switch (message.kind) {
    case 'ready':
      return Number.isInteger(message.deviceId) ? (message as DeviceMessage) : undefined;
    case 'answer':
    case 'error':
      return Number.isInteger(message.id) ? (message as DeviceMessage) : undefined;
    case 'interrupt':
      return message.cause === 'used' || message.cause === 'config' ? (message as DeviceMessage) : undefined;
    default:
      return undefined;
  }
}

function describe(data: unknown): string {
  return typeof data === 'object' && data !== null && 'kind' in data ? `"${String(data.kind)}"` : `a ${typeof data}`;
}
