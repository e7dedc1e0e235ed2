import type { DeviceType } from '../../device/device-type.ts';
import { ConsoleDevice } from '../../devices/console/device.ts';
import { EntropyDevice } from '../../devices/entropy/device.ts';
import { NetDevice } from '../../devices/net/device.ts';

/** Device types whose first queue holds buffers that wait for something to come. */
export const waitingKinds = ['console', 'entropy device', 'network device'] as const;

export type WaitingKind = (typeof waitingKinds)[number];

export interface WaitingType {
  readonly type: DeviceType;
  /** Lets something come: a key, random bytes, a frame. */
  arrive(): void;
  /** Changes something that the configuration says, to what it never was before. */
  change(): void;
}

export function waitingType(kind: WaitingKind): WaitingType {
  switch (kind) {
    case 'console':
      return consoleType();
    case 'entropy device':
      return entropyType();
    case 'network device':
      return networkType();
  }
}

function consoleType(): WaitingType {
  const type = new ConsoleDevice({ output: () => {} });
  let rows = 40;
  return {
    type,
    arrive: () => void type.input(Uint8Array.of(0x6b)),
    change: () => type.resize({ rows: ++rows, columns: 80 }),
  };
}

/** Its source answers when something arrives, and not before. */
function entropyType(): WaitingType {
  let answer = (): void => {};
  const type = new EntropyDevice(
    (bytes) =>
      new Promise((resolve) => {
        answer = () => {
          bytes.fill(0x5a);
          resolve();
        };
      }),
  );
  // It has no configuration.
  return { type, arrive: () => answer(), change: () => {} };
}

function networkType(): WaitingType {
  const type = new NetDevice({ mac: Uint8Array.of(2, 0, 0, 0, 0, 1), transmit: () => {} });
  return { type, arrive: () => type.receive(new Uint8Array(60).fill(0xff)), change: () => type.setLink('down') };
}
