import { MMIO_MAGIC, MMIO_VERSION, Mmio, MmioInterrupt } from '../../spec/mmio.ts';
import type { Check, Findings, Requirement } from '../rule.ts';
import type { Located } from '../trace.ts';
import { generationChanges } from './generation.ts';
import { at } from './mmio-registers.ts';
import { isDisabledByReset, isNotResetting, QueueRegisters, showsResetUntilDone } from './queue-registers.ts';

const KNOWN = MmioInterrupt.USED_BUFFER | MmioInterrupt.CONFIG_CHANGE;

/** A register that always reads the same. */
function always(register: number, expected: number): (findings: Findings) => Check {
  return ({ passed, failed }) => ({
    mmio: at('read', register, ({ value }) => {
      if (value === expected) passed();
      else failed(`it reads 0x${value.toString(16)}, not 0x${expected.toString(16)}`);
    }),
  });
}

/** The device's registers over MMIO (§4.2.2.1). */
export const mmioDevice: readonly Requirement[] = [
  {
    id: 'mmio.device.regs.1',
    section: '§4.2.2.1',
    level: 'MUST',
    role: 'device',
    text: 'MagicValue says that there is a virtio device.',
    check: always(Mmio.MAGIC_VALUE, MMIO_MAGIC),
  },
  {
    id: 'mmio.device.regs.2',
    section: '§4.2.2.1',
    level: 'MUST',
    role: 'device',
    text: 'The version of the registers is 2.',
    check: always(Mmio.VERSION, MMIO_VERSION),
  },
  {
    id: 'mmio.device.regs.3',
    section: '§4.2.2.1',
    level: 'MUST',
    role: 'device',
    text: 'InterruptStatus shows what has happened until that is acknowledged.',
    check: ({ passed, failed }) => {
      const shown = new Map<number, Located>();
      const clear = (bits: number): void => {
        for (const bit of shown.keys()) if ((bits & bit) !== 0) shown.delete(bit);
      };
      return {
        interrupt: (event) => {
          shown.set(event.cause === 'used' ? MmioInterrupt.USED_BUFFER : MmioInterrupt.CONFIG_CHANGE, event);
        },
        'status.write': ({ value }) => value === 0 && shown.clear(),
        mmio: (event) => {
          const { access, offset, value } = event;
          if (access === 'write' && offset === Mmio.INTERRUPT_ACK) clear(value);
          if (access !== 'read' || offset !== Mmio.INTERRUPT_STATUS) return;
          const gone = [...shown].find(([bit]) => (value & bit) === 0);
          if (gone !== undefined) failed(`bit ${gone[0] - 1} is gone before it was acknowledged`, gone[1]);
          else if (shown.size > 0) passed();
          shown.clear();
          for (const bit of [1, 2]) if ((value & bit) !== 0) shown.set(bit, event);
        },
      };
    },
  },
  {
    id: 'mmio.device.regs.4',
    section: '§4.2.2.1',
    level: 'MUST',
    role: 'device',
    text: 'InterruptStatus shows nothing that has not happened.',
    check: ({ session, passed, failed }) => {
      /** Only a trace with notifications says what has happened; what was before it is not known. */
      let isTold = false;
      let happened = KNOWN;
      const happens = (bit: number) => () => {
        happened |= bit;
        isTold = true;
      };
      return {
        interrupt: ({ cause }) => happens(cause === 'used' ? MmioInterrupt.USED_BUFFER : MmioInterrupt.CONFIG_CHANGE)(),
        'buffer.used': happens(MmioInterrupt.USED_BUFFER),
        'config.changed': happens(MmioInterrupt.CONFIG_CHANGE),
        'device.phase': ({ to }) => {
          // Right after a reset mmio.device.regs.5 says it.
          if (to === 'resetting') happened = 0;
          if (to === 'needsReset') happened |= MmioInterrupt.CONFIG_CHANGE;
        },
        mmio: ({ access, offset, value }) => {
          if (access === 'write' && offset === Mmio.INTERRUPT_ACK) happened &= ~value;
          if (access !== 'read' || offset !== Mmio.INTERRUPT_STATUS || !isTold) return;
          if (session.device === 'reset' || session.device === 'resetting') return;
          const extra = value & ~happened;
          if (extra === 0) passed();
          else failed(`0x${extra.toString(16)} is shown, though nothing of it has happened since it was acknowledged`);
        },
      };
    },
  },
  {
    id: 'mmio.device.regs.5',
    section: '§4.2.2.1',
    level: 'MUST',
    role: 'device',
    text: 'A reset clears InterruptStatus, and QueueReady of every queue.',
    check: ({ session, passed, failed }) => ({
      mmio: ({ access, offset, value }) => {
        if (access === 'write' || session.device !== 'reset') return;
        if (offset !== Mmio.INTERRUPT_STATUS && offset !== Mmio.QUEUE_READY) return;
        if (value === 0) passed();
        else failed(`${offset === Mmio.QUEUE_READY ? 'QueueReady' : 'InterruptStatus'} is ${value} after a reset`);
      },
    }),
  },
  {
    id: 'mmio.device.regs.6',
    section: '§4.2.2.1',
    level: 'MUST',
    role: 'device',
    text: 'ConfigGeneration changes when the configuration might be read in two states.',
    check: generationChanges('mmio'),
  },
  {
    id: 'mmio.device.regs.7',
    section: '§4.2.2.1',
    level: 'MUST NOT',
    role: 'device',
    text: 'The memory of a queue is left alone while its QueueReady is 0.',
    check: ({ session, passed, failed }) => {
      const queues = new QueueRegisters('mmio');
      /** Queues that the driver has stopped, once it has read so. */
      const stopped = new Map<number, Located>();
      const touches = (queue: number): void => {
        const { device } = session;
        if (device !== 'running' && device !== 'suspending') return;
        const since = stopped.get(queue);
        if (since !== undefined) failed(`queue ${queue} is touched, which is not ready`, since);
        else if (queues.enabled.has(queue)) passed();
      };
      return {
        mmio: (event) => {
          queues.follow(event);
          if (event.offset !== Mmio.QUEUE_READY) return;
          if (event.access === 'write' && event.value === 1) stopped.delete(queues.selected);
          if (event.access === 'read' && event.value === 0) stopped.set(queues.selected, event);
        },
        'queue.reset': ({ queue }) => stopped.delete(queue),
        'status.write': ({ value }) => value === 0 && stopped.clear(),
        memory: ({ by, queue }) => by === 'device' && touches(queue),
        'buffer.taken': ({ queue }) => touches(queue),
      };
    },
  },
  {
    id: 'mmio.device.regs.8',
    section: '§4.2.2.1',
    level: 'MUST',
    role: 'device',
    text: 'With RING_RESET, QueueReset is 0 after a reset of the device.',
    check: isNotResetting('mmio', 'none'),
  },
  {
    id: 'mmio.device.regs.9',
    section: '§4.2.2.1',
    level: 'MUST',
    role: 'device',
    text: 'With RING_RESET, QueueReset is 0 once the queue is enabled.',
    check: isNotResetting('mmio', 'enabled'),
  },
  {
    id: 'mmio.device.regs.10',
    section: '§4.2.2.1',
    level: 'MUST',
    role: 'device',
    text: 'A write of 1 to QueueReset resets the queue.',
    unseen: 'What that means is in reset.device.queue.1 and 2 for every transport, and judged there.',
  },
  {
    id: 'mmio.device.regs.11',
    section: '§4.2.2.1',
    level: 'MUST',
    role: 'device',
    text: 'QueueReset stays 1 until the reset of the queue is done.',
    check: showsResetUntilDone('mmio'),
  },
  {
    id: 'mmio.device.regs.12',
    section: '§4.2.2.1',
    level: 'MUST',
    role: 'device',
    text: 'When the reset of a queue is done, QueueReady is 0, too.',
    check: isDisabledByReset('mmio'),
  },
];
