import type { TraceEvent } from '../../../../src/monitor/trace.ts';
import { Feature } from '../../../../src/spec/features.ts';
import {
  available,
  changed,
  configInterrupt,
  configRead,
  configWrite,
  goesOn,
  kick,
  queueReset,
  read,
  resumes,
  shown,
  suspends,
  type TracesByRule,
  taken,
  touch,
  used,
  usedBuffer,
  write,
} from '../../../support/trace-events.ts';

const initializing = goesOn(0x0b);
const inOrder = goesOn(0x0f, Feature.SUSPEND, Feature.IN_ORDER);
/** A buffer with something to read in it. */
const request: TraceEvent = { kind: 'buffer.available', queue: 0, id: 3, readable: 16, writable: 1 };

export const suspendTraces: TracesByRule = {
  'suspend.driver.1': {
    pass: [...goesOn(), ...suspends],
    fail: [...goesOn(0x0f, 28), write(0x1f), read(0x0f)],
  },
  'suspend.driver.2': {
    pass: [...goesOn(), write(0x1f), read(0x1f), read(0x1b)],
    fail: [...goesOn(), write(0x1f)],
  },
  'suspend.driver.3': {
    pass: [...goesOn(), available(0), ...suspends],
    fail: [...goesOn(), ...suspends, available(0)],
  },
  'suspend.driver.4': {
    pass: [...goesOn(), kick(), ...suspends],
    fail: [...goesOn(), ...suspends, kick()],
  },
  'suspend.driver.5': {
    pass: [...goesOn(), configWrite(32, 1, 1), ...suspends],
    fail: [...goesOn(), ...suspends, configWrite(32, 1, 1)],
  },
  'suspend.driver.6': {
    pass: [...goesOn(0x1b), ...resumes, kick()],
    fail: [...goesOn(0x1b), write(0x1f), kick(), read(0x0f)],
    alsoFail: [[...goesOn(0x1b), write(0x1f), write(0x1f), read(0x0f)]],
    lawful: [
      [...goesOn(0x1b), write(0x1f), read(0x1f), write(0x9f)],
      [...goesOn(0x1b), write(0x1f), read(0x5b), write(0)],
    ],
  },
  'suspend.device.1': {
    pass: [...initializing, write(0x1b), read(0x0b)],
    fail: [...initializing, write(0x1b), read(0x1b)],
    alongside: ['suspend.driver.1'],
  },
  'suspend.device.2': {
    pass: [...goesOn(0x1b), configRead(32, 0, 1), configWrite(32, 1, 1), configRead(32, 0, 1)],
    fail: [...goesOn(0x1b), configRead(32, 0, 1), configWrite(32, 1, 1), configRead(32, 1, 1)],
    alongside: ['suspend.driver.5'],
  },
  'suspend.device.3': {
    pass: [...goesOn(0x1b), ...resumes],
    fail: [...goesOn(0x1b), used(0)],
  },
  'suspend.device.4': {
    pass: [...goesOn(0x1b), ...resumes],
    fail: [...goesOn(0x1b), touch('device')],
  },
  'suspend.device.5': {
    pass: [...goesOn(0x1b), configRead(0, 8), configRead(0, 8)],
    fail: [...goesOn(0x1b), configRead(0, 8), configRead(0, 9)],
  },
  'suspend.device.6': {
    pass: [...goesOn(0x1b), ...resumes],
    fail: [...goesOn(0x1b), configInterrupt],
  },
  'suspend.device.7': {
    pass: [...goesOn(0x1b), changed, ...resumes, configInterrupt],
    fail: [...goesOn(0x1b), changed, ...resumes],
  },
  'suspend.device.8': {
    pass: [...goesOn(), ...suspends],
    fail: [...goesOn(), write(0x1f), read(0x1f)],
    // Asked again, it runs again if it was suspended by then.
    lawful: [[...goesOn(), write(0x1f), write(0x1f), read(0x0f)]],
  },
  'suspend.device.9': {
    pass: [...goesOn(0x1b), ...resumes],
    fail: [...goesOn(0x1b), write(0x1f), read(0x1b)],
    lawful: [[...goesOn(0x1b), write(0x1f), write(0x1f), read(0x1b)]],
  },
  'suspend.device.suspends': {
    text: 'v1',
    pass: [...goesOn(), write(0x1f), read(0x1b)],
    fail: [...goesOn(), write(0x1f), read(0x0f)],
    alongside: ['suspend.device.8'],
  },
  'suspend.device.resumes': {
    text: 'v1',
    pass: [...goesOn(0x1b), write(0x1f), read(0x4f), configInterrupt],
    fail: [...goesOn(0x1b), write(0x1f), read(0x1b)],
    alongside: ['suspend.device.9'],
  },
  'suspend.device.11': {
    pass: [...goesOn(), taken(0), write(0x1f), usedBuffer(0), read(0x1b)],
    fail: [...goesOn(), taken(0), ...suspends],
    alsoFail: [[...goesOn(), taken(0), write(0x1f), read(0x5b)]],
    lawful: [[...goesOn(), taken(0), write(0x1f), read(0x4f), configInterrupt]],
  },
  'suspend.device.12': {
    pass: [...goesOn(), write(0x1f), usedBuffer(0), used(0), read(0x1b)],
    fail: [...goesOn(), write(0x1f), usedBuffer(0), read(0x1b), ...resumes, used(0)],
  },
  'suspend.device.negotiated': {
    pass: [...goesOn(0x0f, 28), write(0x1f), read(0x0f)],
    fail: [...goesOn(0x0f, 28), write(0x1f), read(0x1f)],
    alongside: ['suspend.driver.1'],
  },
  'suspend.device.scan': {
    pass: [...goesOn(), request, ...suspends, ...resumes, taken(3)],
    fail: [...goesOn(), request, ...suspends, ...resumes, { ...kick(), time: 2_000_000 }],
    alsoFail: [
      [...goesOn(), request, ...suspends, ...resumes, { ...write(0), time: 2_000_000 }],
      [...goesOn(), request, ...suspends, ...resumes, { ...read(0x0f), time: 2_000_000 }],
      [...goesOn(), request, ...suspends, ...resumes, { ...write(0x1f), time: 2_000_000 }, read(0x1b)],
    ],
    lawful: [
      // Too early to say.
      [...goesOn(), request, ...suspends, ...resumes, { ...write(0), time: 500_000 }],
      [...goesOn(), request, ...suspends, ...resumes, queueReset(), { ...read(0x0f), time: 2_000_000 }],
      [...goesOn(), request, ...suspends, ...resumes, read(0x4f), configInterrupt, { ...write(0), time: 2_000_000 }],
      // An event buffer waits for an event.
      [...goesOn(), available(1), ...suspends, ...resumes, { ...read(0x0f), time: 2_000_000 }],
      // In order, one is used for all before it.
      [
        ...inOrder,
        request,
        { ...request, id: 4 },
        ...suspends,
        ...resumes,
        usedBuffer(4),
        { ...read(0x0f), time: 2e6 },
      ],
    ],
  },
  'suspend.device.failed': {
    pass: [...goesOn(), write(0x1f), shown(0x4f), configInterrupt],
    fail: [...goesOn(), write(0x1f), shown(0x5b), read(0x5b)],
    // It may have been suspended before it failed.
    lawful: [
      [...goesOn(), write(0x1f), shown(0x1b), shown(0x5b)],
      [...goesOn(), write(0x1f), read(0x5b)],
    ],
  },
  'suspend.driver.seen': {
    pass: [...goesOn(), ...suspends, ...resumes],
    fail: [...goesOn(), ...suspends, write(0x9f)],
  },
};
