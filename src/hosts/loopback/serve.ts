import type { Device } from '../../device/device.ts';
import { DirectTransport } from './direct.ts';
import type { DeviceCalls, DeviceMessage, DriverMessage, MessageEnd } from './messages.ts';

/**
 * Serves a device to a driver at the other end of a message channel, over memory that both share. `make` gives a new
 * device for the same back-end each time; it is called again when the driver's side asks to renew it.
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
    readConfigGeneration: () => transport.readConfigGeneration(),
    readConfig: (offset, length) => transport.readConfig(offset, length),
    writeConfig: (offset, bytes) => transport.writeConfig(offset, bytes),
    pause: (limitMs) => device.pause(limitMs),
    continue: () => device.continue(),
    save: () => device.save(),
    renew: () => {
      const text = JSON.stringify(device.save());
      device = make();
      device.restore(JSON.parse(text));
      transport.connect(device);
      return text;
    },
  };
  const answer = async (id: number, name: string, args: readonly unknown[]): Promise<void> => {
    const call = (calls as unknown as Record<string, ((...args: readonly unknown[]) => unknown) | undefined>)[name];
    try {
      if (call === undefined) throw new RangeError(`there is no call "${name}"`);
      post({ kind: 'answer', id, value: await call(...args) });
    } catch (error) {
      post({ kind: 'error', id, message: error instanceof Error ? error.message : String(error) });
    }
  };
  port.onmessage = ({ data }) => {
    const message = data as DriverMessage;
    if (message.kind === 'kick') transport.kick(message.queue);
    else void answer(message.id, message.name, message.args);
  };
  post({ kind: 'ready', deviceId: device.type.deviceId });
}
