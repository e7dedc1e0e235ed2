import { DeviceId } from '../../spec/device-ids.ts';
import { BlockField } from '../block-format.ts';
import type { Rule } from '../rule.ts';
import type { Located } from '../trace.ts';
import { ofType } from './device-type.ts';

/** Microseconds in which a driver that reads the capacity again has done so. */
const PATIENCE_US = 1_000_000;

export const capacityIsReadAgain: Rule = {
  id: 'blk.driver.op.1',
  section: '§5.2.6.1',
  level: 'SHOULD',
  role: 'driver',
  text: 'The capacity is read again when the device tells that its configuration has changed.',
  check: ofType(DeviceId.BLOCK, ({ session, passed, failed }) => {
    let told: Located | undefined;
    let now = 0;
    const follow = ({ time = now }: Located): void => {
      now = time;
      if (told === undefined || now - (told.time ?? 0) < PATIENCE_US) return;
      failed('the capacity is not read again within a second', told);
      told = undefined;
    };
    return {
      interrupt: (event) => {
        follow(event);
        // That of DEVICE_NEEDS_RESET is about the status.
        if (event.cause === 'config' && session.driver === 'running' && session.device === 'running') told ??= event;
      },
      'config.read': ({ offset }) => {
        if (told === undefined || offset >= BlockField.CAPACITY + 8) return;
        passed();
        told = undefined;
      },
      kick: follow,
      'buffer.available': follow,
      'status.read': follow,
      'device.phase': () => {
        told = undefined;
      },
      'driver.phase': () => {
        told = undefined;
      },
    };
  }),
};
