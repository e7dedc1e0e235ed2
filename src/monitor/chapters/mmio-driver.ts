import { MMIO_MAGIC, MMIO_VERSION, Mmio, MmioInterrupt } from '../../spec/mmio.ts';
import { isNatural } from '../config-fields.ts';
import type { Check, Findings, Requirement } from '../rule.ts';
import type { Located, MmioAccess } from '../trace.ts';
import { at, registerAt, SETTINGS } from './mmio-registers.ts';
import { QueueRegisters } from './queue-registers.ts';

const KNOWN = MmioInterrupt.USED_BUFFER | MmioInterrupt.CONFIG_CHANGE;

/** A device that identifies itself as something that is not driven is not written to. */
function ignores(register: number, isWrong: (value: number) => boolean): (findings: Findings) => Check {
  return ({ passed, failed }) => {
    let wrong: Located | undefined;
    return {
      mmio: (event) => {
        if (event.access === 'write') {
          if (wrong !== undefined) failed('the driver writes to a device that it has to ignore', wrong);
        } else if (event.offset === register) {
          wrong = isWrong(event.value) ? event : undefined;
          passed();
        }
      },
    };
  };
}

/** A selector is written, in the life that began in this trace, before what it selects is accessed. */
function selects(access: 'read' | 'write', register: number, selector: number): (findings: Findings) => Check {
  return ({ passed, failed }) => {
    let begins: Located | undefined;
    let isSelected = false;
    return {
      mmio: (event) => {
        if (event.access === 'write' && event.offset === Mmio.STATUS && event.value === 0) begins = event;
        if (event.access === 'write' && event.offset === selector) isSelected = true;
        if (event.access !== access || event.offset !== register || begins === undefined) return;
        if (isSelected) passed();
        else
          failed(`${registerAt(register)!.name} is accessed before ${registerAt(selector)!.name} was written`, begins);
      },
    };
  };
}

/** The driver's use of the registers over MMIO (§4.2.2.2). */
export const mmioDriver: readonly Requirement[] = [
  {
    id: 'mmio.driver.regs.1',
    section: '§4.2.2.2',
    level: 'MUST NOT',
    role: 'driver',
    text: 'Only registers that are described are accessed.',
    check: ({ passed, failed }) => ({
      mmio: ({ offset }) => {
        if (offset >= Mmio.CONFIG || registerAt(offset) !== undefined) passed();
        else failed(`there is no register at 0x${offset.toString(16)}`);
      },
    }),
  },
  {
    id: 'mmio.driver.regs.2',
    section: '§4.2.2.2',
    level: 'MUST NOT',
    role: 'driver',
    text: 'What can only be read is not written.',
    check: direction('write', 'R'),
  },
  {
    id: 'mmio.driver.regs.3',
    section: '§4.2.2.2',
    level: 'MUST NOT',
    role: 'driver',
    text: 'What can only be written is not read.',
    check: direction('read', 'W'),
  },
  {
    id: 'mmio.driver.regs.4',
    section: '§4.2.2.2',
    level: 'MUST',
    role: 'driver',
    text: 'Registers are accessed with aligned 32 bits.',
    check: ({ passed, failed }) => ({
      mmio: ({ offset, width }) => {
        if (offset >= Mmio.CONFIG) return;
        if (width === 4 && offset % 4 === 0) passed();
        else failed(`${width} bytes at 0x${offset.toString(16)} are no register`);
      },
    }),
  },
  {
    id: 'mmio.driver.regs.5',
    section: '§4.2.2.2',
    level: 'MUST',
    role: 'driver',
    text: 'A field of the configuration space is accessed in its own width, one of 64 bits in two halves.',
    check: ({ session, passed, failed }) => ({
      mmio: ({ offset, width }) => {
        if (offset < Mmio.CONFIG) return;
        const field = offset - Mmio.CONFIG;
        if (isNatural(session.header.device, field, width)) passed();
        else failed(`${width} bytes at offset ${field} of the configuration space are no field`);
      },
    }),
  },
  {
    id: 'mmio.driver.regs.6',
    section: '§4.2.2.2',
    level: 'MUST',
    role: 'driver',
    text: 'A device with another MagicValue is ignored.',
    check: ignores(Mmio.MAGIC_VALUE, (value) => value !== MMIO_MAGIC),
  },
  {
    id: 'mmio.driver.regs.7',
    section: '§4.2.2.2',
    level: 'MAY',
    role: 'driver',
    text: 'A wrong MagicValue may be reported.',
    unseen: 'A permission, which nobody can break.',
  },
  {
    id: 'mmio.driver.regs.8',
    section: '§4.2.2.2',
    level: 'MUST',
    role: 'driver',
    text: 'A device whose registers have another version than 2 is ignored.',
    check: ignores(Mmio.VERSION, (value) => value !== MMIO_VERSION),
  },
  {
    id: 'mmio.driver.regs.9',
    section: '§4.2.2.2',
    level: 'MAY',
    role: 'driver',
    text: 'A wrong version may be reported.',
    unseen: 'A permission, which nobody can break.',
  },
  {
    id: 'mmio.driver.regs.10',
    section: '§4.2.2.2',
    level: 'MUST',
    role: 'driver',
    text: 'A device with DeviceID 0 is ignored.',
    check: ignores(Mmio.DEVICE_ID, (value) => value === 0),
  },
  {
    id: 'mmio.driver.regs.11',
    section: '§4.2.2.2',
    level: 'MUST NOT',
    role: 'driver',
    text: 'DeviceID 0 is no error, and not reported as one.',
    unseen: 'What a driver reports to its own side is not in a trace.',
  },
  {
    id: 'mmio.driver.regs.12',
    section: '§4.2.2.2',
    level: 'MUST',
    role: 'driver',
    text: 'DeviceFeaturesSel is written before DeviceFeatures is read.',
    check: selects('read', Mmio.DEVICE_FEATURES, Mmio.DEVICE_FEATURES_SEL),
  },
  {
    id: 'mmio.driver.regs.13',
    section: '§4.2.2.2',
    level: 'MUST',
    role: 'driver',
    text: 'DriverFeaturesSel is written before DriverFeatures is.',
    check: selects('write', Mmio.DRIVER_FEATURES, Mmio.DRIVER_FEATURES_SEL),
  },
  {
    id: 'mmio.driver.regs.14',
    section: '§4.2.2.2',
    level: 'MUST',
    role: 'driver',
    text: 'QueueSize is at most QueueSizeMax.',
    check: ({ passed, failed }) => {
      const queues = new QueueRegisters('mmio');
      const largest = new Map<number, Located<MmioAccess>>();
      return {
        mmio: (event) => {
          queues.follow(event);
          const { access, offset, value } = event;
          if (access === 'read' && offset === Mmio.QUEUE_SIZE_MAX) largest.set(queues.selected, event);
          const max = largest.get(queues.selected);
          if (access !== 'write' || offset !== Mmio.QUEUE_SIZE || max === undefined) return;
          if (value <= max.value) passed();
          else failed(`QueueSize is ${value}, though ${max.value} is the largest`, max);
        },
      };
    },
  },
  {
    id: 'mmio.driver.regs.15',
    section: '§4.2.2.2',
    level: 'MUST NOT',
    role: 'driver',
    text: 'Size and addresses of a queue are left alone while it is ready.',
    check: ({ passed, failed }) => {
      const queues = new QueueRegisters('mmio');
      return {
        mmio: (event) => {
          queues.follow(event);
          if (!SETTINGS.has(event.offset)) return;
          const since = queues.enabled.get(queues.selected);
          if (since === undefined) passed();
          else
            failed(
              `${registerAt(event.offset)!.name} of queue ${queues.selected} is accessed while it is ready`,
              since,
            );
        },
      };
    },
  },
  {
    id: 'mmio.driver.regs.16',
    section: '§4.2.2.2',
    level: 'MUST',
    role: 'driver',
    text: 'A queue is stopped by a write of 0 to QueueReady.',
    unseen: 'That a driver wants to stop a queue shows in this write alone.',
  },
  {
    id: 'mmio.driver.regs.17',
    section: '§4.2.2.2',
    level: 'MUST',
    role: 'driver',
    text: 'QueueReady is read back after a write of 0.',
    check: ({ passed, failed }) => {
      const queues = new QueueRegisters('mmio');
      let stopped: Located | undefined;
      return {
        mmio: (event) => {
          queues.follow(event);
          const { access, offset, value } = event;
          if (access === 'read' && offset === Mmio.QUEUE_READY && stopped !== undefined) {
            passed();
            stopped = undefined;
          } else if (access === 'write' && stopped !== undefined && isAboutQueues(offset)) {
            failed('the driver goes on before it has read QueueReady back', stopped);
            stopped = undefined;
          }
          if (access === 'write' && offset === Mmio.QUEUE_READY && value === 0) stopped = event;
          if (offset === Mmio.STATUS && access === 'write' && value === 0) stopped = undefined;
        },
      };
    },
  },
  {
    id: 'mmio.driver.regs.18',
    section: '§4.2.2.2',
    level: 'MUST',
    role: 'driver',
    text: 'Bits of InterruptStatus that have no meaning are ignored.',
    unseen: 'To ignore something leaves no trace; that it is not acknowledged is mmio.driver.regs.20.',
  },
  {
    id: 'mmio.driver.regs.19',
    section: '§4.2.2.2',
    level: 'MUST',
    role: 'driver',
    text: 'What is acknowledged is what was handled: nothing that was not seen in InterruptStatus.',
    check: ({ passed, failed }) => {
      let seen: Located<MmioAccess> | undefined;
      return {
        mmio: (event) => {
          if (event.access === 'read' && event.offset === Mmio.INTERRUPT_STATUS) seen = event;
          if (event.access !== 'write' || event.offset !== Mmio.INTERRUPT_ACK || seen === undefined) return;
          const unseen = event.value & KNOWN & ~seen.value;
          if (unseen === 0) passed();
          else failed(`0x${unseen.toString(16)} is acknowledged, which InterruptStatus did not show`, seen);
        },
      };
    },
  },
  {
    id: 'mmio.driver.regs.20',
    section: '§4.2.2.2',
    level: 'MUST NOT',
    role: 'driver',
    text: 'Bits that have no meaning are not acknowledged.',
    check: ({ passed, failed }) => ({
      mmio: at('write', Mmio.INTERRUPT_ACK, ({ value }) => {
        if ((value & ~KNOWN) === 0) passed();
        else failed(`0x${value.toString(16)} is acknowledged`);
      }),
    }),
  },
  {
    id: 'mmio.driver.regs.21',
    section: '§4.2.2.2',
    level: 'MUST NOT',
    role: 'driver',
    text: 'The reset of a queue is not taken for done before QueueReset reads 0.',
    unseen: 'It is what reset.driver.queue.1 says for every transport, and judged there.',
  },
  {
    id: 'mmio.driver.regs.22',
    section: '§4.2.2.2',
    level: 'MAY',
    role: 'driver',
    text: 'A queue may be enabled again after that.',
    unseen: 'A permission; that its registers are set up before is reset.driver.reenable.1.',
  },
  {
    id: 'mmio.driver.regs.23',
    section: '§4.2.2.2',
    level: 'MAY',
    role: 'driver',
    text: 'It may have other settings then.',
    unseen: 'A permission, which nobody can break.',
  },
];

function direction(access: 'read' | 'write', forbidden: 'R' | 'W'): (findings: Findings) => Check {
  const cannot = access === 'read' ? 'only be written' : 'only be read';
  return ({ passed, failed }) => ({
    mmio: (event) => {
      const register = event.offset < Mmio.CONFIG ? registerAt(event.offset) : undefined;
      if (event.access !== access || register === undefined) return;
      if (register.direction === forbidden) failed(`${register.name} can ${cannot}`);
      else passed();
    },
  });
}

/** Registers by which a driver goes on with this queue or another. */
function isAboutQueues(offset: number): boolean {
  return offset === Mmio.QUEUE_SEL || offset === Mmio.QUEUE_READY || SETTINGS.has(offset);
}
