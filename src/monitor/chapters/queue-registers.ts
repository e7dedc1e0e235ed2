import { Feature } from '../../spec/features.ts';
import { Mmio } from '../../spec/mmio.ts';
import { PciCommon } from '../../spec/pci.ts';
import type { Check, Findings } from '../rule.ts';
import type { Located, MmioAccess, PciAccess } from '../trace.ts';

type Access = Located<MmioAccess | PciAccess>;

interface Offsets {
  readonly select: number;
  readonly enable: number;
  readonly reset: number;
  readonly status: number;
}

const OFFSETS: Readonly<Record<'mmio' | 'pci', Offsets>> = {
  mmio: { select: Mmio.QUEUE_SEL, enable: Mmio.QUEUE_READY, reset: Mmio.QUEUE_RESET, status: Mmio.STATUS },
  pci: {
    select: PciCommon.QUEUE_SELECT,
    enable: PciCommon.QUEUE_ENABLE,
    reset: PciCommon.QUEUE_RESET,
    status: PciCommon.DEVICE_STATUS,
  },
};

/** Follows the registers of queues: which queue is selected, and which are enabled, by the write that made them so. */
export class QueueRegisters {
  selected = 0;
  readonly enabled: Map<number, Access> = new Map();
  readonly offsets: Offsets;

  constructor(transport: 'mmio' | 'pci') {
    this.offsets = OFFSETS[transport];
  }

  /** An access to the registers; for PCI to the common configuration structure. */
  follow(event: Access): void {
    const { access, offset, value } = event;
    const { select, enable, reset, status } = this.offsets;
    if (access === 'read') return;
    if (offset === select) this.selected = value;
    else if (offset === status && value === 0) this.enabled.clear();
    else if (offset === enable && value === 1) this.enabled.set(this.selected, event);
    // What is being reset is the device's no more, even if it shows so later.
    else if (offset === enable || offset === reset) this.enabled.delete(this.selected);
  }
}

/** Where the life of a queue is, as its two registers have to show it: `done` once its reset was seen to be. */
type QueueState = 'none' | 'enabled' | 'asked' | 'done';

type Look = (register: 'reset' | 'enable', state: QueueState, event: Access) => void;

/** Calls back at each read of the two registers of a queue, with what was done to it before. */
function atReads(transport: 'mmio' | 'pci', { session }: Findings, look: Look): Check {
  const queues = new QueueRegisters(transport);
  const { enable, reset, status } = queues.offsets;
  const states = new Map<number, QueueState>();
  const follow = (event: Access): void => {
    queues.follow(event);
    const { access, offset, value } = event;
    if (offset === status && access === 'write' && value === 0) states.clear();
    if (offset !== reset && offset !== enable) return;
    const { selected } = queues;
    if (access === 'write') {
      states.set(selected, value !== 1 ? 'none' : offset === reset ? 'asked' : 'enabled');
      return;
    }
    const state = states.get(selected) ?? 'none';
    if (offset === enable || session.has(Feature.RING_RESET)) look(offset === reset ? 'reset' : 'enable', state, event);
    if (offset === reset && state === 'asked' && value === 0) states.set(selected, 'done');
  };
  return {
    mmio: (event) => transport === 'mmio' && follow(event),
    pci: (event) => transport === 'pci' && event.structure === 'common' && follow(event),
  };
}

/** QueueReset, or queue_reset, is 0 while the life of the queue is in `state`. */
export function isNotResetting(transport: 'mmio' | 'pci', state: 'none' | 'enabled'): (findings: Findings) => Check {
  const why = state === 'none' ? 'though nobody has asked for it' : 'after the queue was enabled';
  return (findings) =>
    atReads(transport, findings, (register, now, { value }) => {
      if (register !== 'reset' || now !== state) return;
      if (value === 0) findings.passed();
      else findings.failed(`the reset of the queue is under way, ${why}`);
    });
}

/** The register shows that the reset of a queue is under way until it is done, and not again. */
export function showsResetUntilDone(transport: 'mmio' | 'pci'): (findings: Findings) => Check {
  return (findings) => {
    let done: Located | undefined;
    return atReads(transport, findings, (register, state, event) => {
      if (register !== 'reset') return;
      if (state === 'asked') {
        findings.passed();
        done = event;
      } else if (state === 'done' && event.value !== 0)
        findings.failed('the reset of the queue is under way again after it was done', done);
    });
  };
}

/** When the reset of a queue is done, the queue is not enabled. */
export function isDisabledByReset(transport: 'mmio' | 'pci'): (findings: Findings) => Check {
  return (findings) =>
    atReads(transport, findings, (register, state, { value }) => {
      if (register !== 'enable' || state !== 'done') return;
      if (value === 0) findings.passed();
      else findings.failed('the queue is enabled though its reset is done');
    });
}
