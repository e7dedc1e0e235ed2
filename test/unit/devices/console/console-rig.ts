import { ConsoleDevice, type ConsoleOptions } from '../../../../src/devices/console/device.ts';
import { ConsoleFeature } from '../../../../src/devices/console/layout.ts';
import { type FeatureSet, featureSet } from '../../../../src/spec/features.ts';
import { RawRig } from '../type-rig.ts';

export const FEATURES: FeatureSet = featureSet(ConsoleFeature.SIZE);
export const RECEIVE = 0;
export const TRANSMIT = 1;

export const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
export const bytes = (string: string): Uint8Array => Uint8Array.from(Buffer.from(string, 'latin1'));

/** A terminal that takes output at once, or holds it until a test says so. */
export class Terminal {
  readonly printed: string[] = [];
  readonly held: { resolve(): void; reject(error: Error): void }[] = [];
  speed: 'fast' | 'held' = 'fast';

  readonly output = (output: Uint8Array): void | Promise<void> => {
    this.printed.push(text(output));
    if (this.speed === 'fast') return;
    return new Promise<void>((resolve, reject) => {
      this.held.push({ resolve, reject });
    });
  };
}

interface Console {
  readonly rig: RawRig;
  readonly type: ConsoleDevice;
  readonly terminal: Terminal;
}

export function start(speed: Terminal['speed'] = 'fast', options: Partial<ConsoleOptions> = {}): Console {
  const terminal = new Terminal();
  terminal.speed = speed;
  const type = new ConsoleDevice({ output: terminal.output, ...options });
  return { rig: new RawRig(type, FEATURES), type, terminal };
}
