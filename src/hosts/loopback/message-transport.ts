import type { DriverTransport } from '../../driver/transport.ts';
import type { QueueLayout } from '../../queue/device-queue.ts';
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
    port.onmessage = ({ data }) => this.#receive(data as DeviceMessage);
  }

  /** Resolves when the other side serves its device. */
  static open(port: MessageEnd): Promise<MessageTransport> {
    return new Promise((resolve, reject) => {
      port.onmessage = ({ data }) => {
        const message = data as DeviceMessage;
        if (message.kind === 'ready') resolve(new MessageTransport(port, message.deviceId));
        else reject(new TransportError(`the device's side began with "${message.kind}" instead of "ready"`));
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
      this.#post({ kind: 'call', id, name, args });
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

  readConfigGeneration(): Promise<number> {
    return this.call('readConfigGeneration');
  }

  readConfig(offset: number, length: number): Promise<Uint8Array> {
    return this.call('readConfig', offset, length);
  }

  writeConfig(offset: number, bytes: Uint8Array): Promise<void> {
    return this.call('writeConfig', offset, bytes);
  }

  kick(queue: number): void {
    this.#post({ kind: 'kick', queue });
  }

  #post(message: DriverMessage): void {
    this.#port.postMessage(message);
  }

  #receive(message: DeviceMessage): void {
    if (message.kind === 'interrupt') {
      if (message.cause === 'used') this.onUsedBuffer?.();
      else this.onConfigChange?.();
      return;
    }
    if (message.kind === 'ready') return;
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.kind === 'answer') waiting?.resolve(message.value);
    else waiting?.reject(new TransportError(`the device's side: ${message.message}`));
  }
}
