import { DeviceId } from '../../spec/device-ids.ts';
import type { Requirement } from '../rule.ts';
import { ofType, PERMISSION } from './device-type.ts';

/** Entropy device (§5.4). */
export const entropy: readonly Requirement[] = [
  {
    id: 'rng.driver.1',
    section: '§5.4.6.1',
    level: 'MUST NOT',
    role: 'driver',
    text: 'A buffer for random bytes has nothing for the device to read.',
    check: ofType(DeviceId.ENTROPY, ({ passed, failed }) => ({
      'buffer.available': ({ readable }) => {
        if (readable === undefined) return;
        if (readable === 0) passed();
        else failed(`${readable} bytes are for the device to read`);
      },
    })),
  },
  {
    id: 'rng.driver.2',
    section: '§5.4.6.1',
    level: 'MUST',
    role: 'driver',
    text: 'Only as many bytes are taken for random as the device says that it has written.',
    unseen: 'What a driver makes of a buffer is inside it.',
  },
  {
    id: 'rng.device.1',
    section: '§5.4.6.2',
    level: 'MUST',
    role: 'device',
    text: 'A buffer that is used has at least one random byte.',
    check: ofType(DeviceId.ENTROPY, ({ passed, failed }) => ({
      'buffer.used': ({ id, written }) => {
        if (written > 0) passed();
        else failed(`buffer ${id} is used without a byte in it`);
      },
    })),
  },
  {
    id: 'rng.device.2',
    section: '§5.4.6.2',
    level: 'MAY',
    role: 'device',
    text: 'A buffer need not be filled.',
    unseen: PERMISSION,
  },
];
