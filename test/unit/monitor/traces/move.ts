import { Feature } from '../../../../src/spec/features.ts';
import {
  available,
  enable,
  goesOn,
  hex,
  restored,
  resumes,
  saved,
  shown,
  suspends,
  type TracesByRule,
  taken,
  touch,
  used,
  usedBuffer,
  write,
} from '../../../support/trace-events.ts';

const rests = goesOn(0x1b);
const at = (
  available: number,
  over = available,
): { readonly queues: [{ queue: 0; available: number; used: number }] } => ({
  queues: [{ queue: 0, available, used: over }],
});
/** The used ring of queue 0 has one entry. */
const oneUsed = {
  kind: 'memory',
  by: 'device',
  access: 'write',
  queue: 0,
  address: 0x3000,
  length: 4,
  bytes: hex(0, 1),
} as const;
const packed = goesOn(0x0f, Feature.SUSPEND, Feature.RING_PACKED);

export const moveTraces: TracesByRule = {
  'move.device.rest': {
    pass: [...rests, saved()],
    lawful: [
      // Pauses are the host's own: the status says nothing of them.
      [...goesOn(), saved({ status: 0x0f, paused: true })],
      [...goesOn(), taken(0), usedBuffer(0), ...suspends, saved()],
      [...rests, shown(0x5b), saved({ status: 0x5b })],
      [...rests, write(0x1f), saved({ paused: true })],
    ],
    fail: [...goesOn(), saved({ status: 0x0f })],
    alsoFail: [
      [...goesOn(), write(0x1f), shown(0x1f), saved({ status: 0x1f }), shown(0x1b), ...suspends.slice(1)],
      [...rests, write(0x1f), saved(), ...resumes.slice(1)],
      [...goesOn(), taken(0), saved({ status: 0x0f, paused: true })],
    ],
  },
  'move.device.still': {
    pass: [...rests, saved(), restored()],
    lawful: [
      // It was not moved, and goes on where it was.
      [...rests, saved(), ...resumes, taken(0), usedBuffer(0), ...suspends, saved(), restored()],
      [...rests, saved(), touch('driver', 'write'), restored(), shown(0x1b)],
    ],
    fail: [...rests, saved(), ...resumes, usedBuffer(0), restored()],
    alsoFail: [
      [...goesOn(), saved({ status: 0x0f, paused: true }), used(0), restored({ status: 0x0f, paused: true })],
      [...goesOn(), saved({ status: 0x0f, paused: true }), taken(0), restored({ status: 0x0f, paused: true })],
    ],
  },
  'move.device.same': {
    pass: [...rests, saved(), restored({ features: '0080100000000' })],
    fail: [...rests, saved(), restored({ features: '80000000000' })],
    alsoFail: [[...rests, saved(), restored({ status: 0x0f, paused: true })]],
  },
  'move.device.queues': {
    pass: [...rests, enable(), available(0), oneUsed, saved(at(1)), restored(at(1))],
    lawful: [
      [
        ...packed,
        enable(),
        saved({ status: 0x0f, paused: true, ...at(0x8000) }),
        restored({ status: 0x0f, ...at(0x8000) }),
      ],
    ],
    fail: [...goesOn(), enable(), available(0), oneUsed, ...suspends, saved(at(1)), restored(at(0))],
    alsoFail: [
      [...goesOn(), enable(), ...suspends, saved(at(2)), restored(at(2))],
      [...goesOn(), enable(), ...suspends, saved(at(0)), restored({ queues: [] })],
      [...packed, enable(), saved({ status: 0x0f, paused: true, ...at(0) }), restored({ status: 0x0f, ...at(0) })],
    ],
  },
};
