import { Feature } from '../../spec/features.ts';
import type { Level, Requirement } from '../rule.ts';
import type { Located } from '../trace.ts';
import { atChoice } from './features.ts';
import { virtualFunctionsNegotiated, virtualFunctionsOffered } from './virtual-functions.ts';

/** A bit that a driver is to accept when it is offered. */
function acceptWhenOffered(number: number, level: Level, name: keyof typeof Feature): Requirement {
  return {
    id: `features.driver.reserved.${number}`,
    section: '§6.1',
    level,
    role: 'driver',
    text: `VIRTIO_F_${name} is accepted when it is offered.`,
    check: (findings) => {
      const { session, passed, failed } = findings;
      const bit = Feature[name];
      return atChoice(findings, () => {
        if (!session.offers(bit)) return;
        if ((session.accepted >> BigInt(bit)) % 2n === 1n) passed();
        else failed(`VIRTIO_F_${name} is offered and not accepted`);
      });
    },
  };
}

/** A permission: nothing can be broken. */
function permission(role: 'device' | 'driver', number: number, text: string): Requirement {
  const section = role === 'driver' ? '§6.1' : '§6.2';
  return {
    id: `features.${role}.reserved.${number}`,
    section,
    level: 'MAY',
    role,
    text,
    unseen: 'A permission, which nobody can break.',
  };
}

/** Reserved feature bits (§6). */
export const reservedFeatures: readonly Requirement[] = [
  acceptWhenOffered(1, 'MUST', 'VERSION_1'),
  permission('driver', 2, 'Without VIRTIO_F_VERSION_1 a driver may refuse to work.'),
  acceptWhenOffered(3, 'SHOULD', 'ACCESS_PLATFORM'),
  {
    id: 'features.driver.reserved.4',
    section: '§6.1',
    level: 'MUST',
    role: 'driver',
    text: 'With VIRTIO_F_ACCESS_PLATFORM the platform is set up to translate the addresses of the device, or not to.',
    unseen: 'The platform is no part of a trace.',
  },
  {
    id: 'features.driver.reserved.5',
    section: '§6.1',
    level: 'MUST',
    role: 'driver',
    text: 'Without VIRTIO_F_ACCESS_PLATFORM the device is given physical addresses.',
    unseen: 'A trace does not say what an address is one of.',
  },
  acceptWhenOffered(6, 'SHOULD', 'RING_PACKED'),
  acceptWhenOffered(7, 'SHOULD', 'ORDER_PLATFORM'),
  {
    id: 'features.driver.reserved.8',
    section: '§6.1',
    level: 'MUST',
    role: 'driver',
    text: 'With VIRTIO_F_ORDER_PLATFORM the barriers are those for hardware.',
    unseen: 'Barriers leave no trace.',
  },
  permission('driver', 9, 'With VIRTIO_F_SR_IOV virtual functions may be enabled.'),
  {
    id: 'features.driver.reserved.10',
    section: '§6.1',
    level: 'MUST NOT',
    role: 'driver',
    text: 'VIRTIO_F_SR_IOV is not accepted of a device that is no PCI function.',
    check: (findings) => {
      const { session, passed, failed } = findings;
      return atChoice(findings, () => {
        if (session.header.transport !== 'mmio') return;
        if ((session.accepted >> BigInt(Feature.SR_IOV)) % 2n === 1n) failed('VIRTIO_F_SR_IOV is accepted');
        else passed();
      });
    },
  },
  virtualFunctionsNegotiated,
  permission('driver', 12, 'Once it was negotiated, virtual functions may be enabled after later resets, too.'),
  acceptWhenOffered(13, 'SHOULD', 'NOTIF_CONFIG_DATA'),
  {
    id: 'features.device.reserved.1',
    section: '§6.2',
    level: 'MUST',
    role: 'device',
    text: 'VIRTIO_F_VERSION_1 is offered.',
    check: (findings) => {
      const { session, passed, failed } = findings;
      return atChoice(findings, () => {
        if (!session.knows(Feature.VERSION_1)) return;
        if (session.offers(Feature.VERSION_1)) passed();
        else failed('VIRTIO_F_VERSION_1 is not offered');
      });
    },
  },
  permission('device', 2, 'A device may refuse a driver that does not accept VIRTIO_F_VERSION_1.'),
  {
    id: 'features.device.reserved.3',
    section: '§6.2',
    level: 'SHOULD',
    role: 'device',
    text: 'VIRTIO_F_ACCESS_PLATFORM is offered where the platform limits or translates what the device reaches.',
    unseen: 'The platform is no part of a trace.',
  },
  permission('device', 4, 'A device may refuse a driver that does not accept VIRTIO_F_ACCESS_PLATFORM.'),
  {
    id: 'features.device.reserved.5',
    section: '§6.2',
    level: 'MUST',
    role: 'device',
    text: 'With VIRTIO_F_IN_ORDER buffers are used in the order in which they were made available.',
    check: ({ session, passed, failed }) => {
      const out = new Map<number, Located<{ readonly queue: number; readonly id: number }>[]>();
      const passedBy = new Map<string, Located>();
      return {
        'buffer.available': (event) => {
          const waiting = out.get(event.queue) ?? [];
          out.set(event.queue, waiting);
          waiting.push(event);
          passedBy.delete(`${event.queue}:${event.id}`);
        },
        // One used entry may stand for all buffers before it.
        'buffer.used': (event) => {
          if (!session.has(Feature.IN_ORDER)) return;
          const { queue, id } = event;
          const waiting = out.get(queue) ?? [];
          const at = waiting.findIndex((buffer) => buffer.id === id);
          const late = passedBy.get(`${queue}:${id}`);
          if (at >= 0) {
            for (const { id: before } of waiting.splice(0, at + 1).slice(0, -1))
              passedBy.set(`${queue}:${before}`, event);
            passed();
          } else if (late !== undefined) failed('a buffer is used after one that was made available later', late);
        },
        'device.phase': ({ to }) => {
          if (to !== 'resetting') return;
          out.clear();
          passedBy.clear();
        },
        'queue.reset': ({ queue }) => {
          out.delete(queue);
        },
      };
    },
  },
  permission('device', 6, 'A device may refuse a driver that does not accept VIRTIO_F_ORDER_PLATFORM.'),
  permission('device', 7, 'Without VIRTIO_F_ORDER_PLATFORM a device may fall back to something slower.'),
  virtualFunctionsOffered,
  {
    id: 'features.device.reserved.9',
    section: '§6.2',
    level: 'MUST NOT',
    role: 'device',
    text: 'VIRTIO_F_SR_IOV is not offered by a device that is no PCI function.',
    check: (findings) => {
      const { session, passed, failed } = findings;
      return atChoice(findings, () => {
        if (session.header.transport !== 'mmio' || !session.knows(Feature.SR_IOV)) return;
        if (session.offers(Feature.SR_IOV)) failed('VIRTIO_F_SR_IOV is offered');
        else passed();
      });
    },
  },
];
