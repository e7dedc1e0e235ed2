import type { DirectTransport } from './direct.ts';

/** One end of a message channel, of whatever platform; messages keep their order. */
export interface MessageEnd {
  postMessage(message: unknown): void;
  onmessage: ((event: { readonly data: unknown }) => void) | null;
}

/** What the driver's side can call on the device's side: the registers, and the host's own controls. */
export interface DeviceCalls
  extends Pick<
    DirectTransport,
    | 'readStatus'
    | 'writeStatus'
    | 'readFeatures'
    | 'writeFeatures'
    | 'readQueueSize'
    | 'enableQueue'
    | 'resetQueue'
    | 'queueIsReset'
    | 'readConfigGeneration'
    | 'readConfig'
    | 'writeConfig'
  > {
  /** See `Device.pause`, `Device.continue`, `Device.save`. */
  pause(limitMs?: number): Promise<void>;
  continue(): void;
  save(): unknown;
  /** Saves the device, makes a new one in its place and restores it there; the text of the saved state, as JSON. */
  renew(): string;
}

export type CallName = keyof DeviceCalls;

/** From the driver's side: a call that is answered, or a kick that is not. */
export type DriverMessage =
  | { readonly kind: 'call'; readonly id: number; readonly name: CallName; readonly args: readonly unknown[] }
  | { readonly kind: 'kick'; readonly queue: number };

/** From the device's side. `ready` comes first. The id of an error is -1 where the message that it answers has none. */
export type DeviceMessage =
  | { readonly kind: 'ready'; readonly deviceId: number }
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'error'; readonly id: number; readonly message: string }
  | { readonly kind: 'interrupt'; readonly cause: 'used' | 'config' };
