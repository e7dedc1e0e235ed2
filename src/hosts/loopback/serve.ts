import type { Device } from '../../device/device.ts';
import { DirectTransport } from './direct.ts';
import type { DeviceCalls, DeviceMessage, DriverMessage, MessageEnd } from './messages.ts';

/**
 * Serves a device to a driver at the other end of a message channel, over memory that both share. `make` gives a new
 * device for the same back-end each time; it is called again when the driver's side asks to renew it. A message that makes
 * no sense is answered with an error, and changes nothing.
 */
export function serveDevice(port: MessageEnd, make: () => Device): void {
  let device = make();
  const transport = new DirectTransport(device);
  const post = (message: DeviceMessage): void => port.postMessage(message);
  transport.onUsedBuffer = () => post({ kind: 'interrupt', cause: 'used' });
  transport.onConfigChange = () => post({ kind: 'interrupt', cause: 'config' });
  const calls: DeviceCalls = {
    readStatus: () => transport.readStatus(),
    writeStatus: (value) => transport.writeStatus(value),
    readFeatures: () => transport.readFeatures(),
    writeFeatures: (features) => transport.writeFeatures(features),
    readQueueSize: (index) => transport.readQueueSize(index),
    enableQueue: (index, layout) => transport.enableQueue(index, layout),
    resetQueue: (index) => transport.resetQueue(index),
    queueIsReset: (index) => transport.queueIsReset(index),
    readConfigGeneration: () => transport.readConfigGeneration(),
    readConfig: (offset, width) => {
      requireField(offset, width);
      return transport.readConfig(offset, width);
    },
    writeConfig: (offset, width, value) => {
      requireField(offset, width);
      transport.writeConfig(offset, width, value);
    },
    pause: (limitMs) => device.pause(limitMs),
    continue: () => device.continue(),
    save: () => device.save(),
    renew: () => {
      const text = JSON.stringify(device.save());
      const next = make();
      next.restore(JSON.parse(text));
      transport.connect(next);
      device = next;
      return text;
    },
  };
  const answer = async ({ id, name, args }: Extract<DriverMessage, { kind: 'call' }>): Promise<void> => {
    try {
      if (!Object.hasOwn(calls, name)) throw new RangeError(`there is no call "${name}"`);
      const call = calls[name] as (...args: readonly unknown[]) => unknown;
      post({ kind: 'answer', id, value: await call(...args) });
    } catch (error) {
      post({ kind: 'error', id, message: error instanceof Error ? error.message : String(error) });
    }
  };
  port.onmessage = ({ data }) => {
    const message = readDriverMessage(data);
    if (message === undefined) post({ kind: 'error', id: idOf(data), message: 'there is no such message' });
    else if (message.kind === 'kick') transport.kick(message.queue);
    else void answer(message);
  };
  post({ kind: 'ready', deviceId: device.type.deviceId });
}

function requireField(offset: unknown, width: unknown): void {
  if (Number.isInteger(offset) && (offset as number) >= 0 && (width === 1 || width === 2 || width === 4)) return;
  throw new RangeError(`a configuration field has 1, 2 or 4 bytes, not ${width}, and an offset, not ${offset}`);
}

/** Undefined for what is no message of the driver's side; names and arguments of calls are not looked at. */
function readDriverMessage(data: unknown): DriverMessage | undefined {
  if (typeof data !== 'object' || data === null) return undefined;
  const message = data as Partial<DriverMessage>;
  const isOne =
    message.kind === 'kick'
      ? Number.isInteger(message.queue)
      : message.kind === 'call' && Number.isInteger(message.id) && Array.isArray(message.args);
  return isOne ? (message as DriverMessage) : undefined;
}

/** Of a message that has none: -1. */
function idOf(data: unknown): number {
  const id = typeof data === 'object' && data !== null && 'id' in data ? data.id : undefined;
  return typeof id === 'number' ? id : -1;
}
