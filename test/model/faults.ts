import type { InvariantName } from './invariants.ts';

/**
 * Faults that can be planted into the model, one at a time, and the invariant that finds each: an invariant that nothing can
 * break says nothing.
 */
export const FAULTS = {
  'drops what it has taken': 'no buffer is lost',
  'uses a buffer twice': 'no buffer is used twice',
  'rests with a buffer in processing': 'at rest nothing is in processing',
  'defers its interrupts': 'at rest no notification is owed',
  'looks into its queue at rest': 'at rest no queue is touched',
  'tells a change at rest': 'at rest nobody is interrupted',
  'forgets a held change': 'a held change is told',
  'keeps its failure to itself': 'a failure is told to a driver that runs',
  'serves before old buffers are back': 'nothing new is taken before old buffers are back',
  'exposes after SUSPEND': 'the driver is still from SUSPEND to the end of the resume',
  'looks at SUSPEND alone': 'the driver does not believe what the device is not',
  'does not wait for the resume': 'the driver does not believe what the device is not',
  'does not read the configuration again': 'a driver that runs comes to know the configuration',
  'nobody looks after a resume': 'every state has a way on',
  'does not run again': 'every state has a way on',
  'tells a change whenever it is read': 'no way on goes round in a circle',
} as const satisfies Readonly<Record<string, InvariantName>>;

export type Fault = keyof typeof FAULTS;
