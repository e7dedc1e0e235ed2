import { Feature } from '../../spec/features.ts';
import { describeStatus, Status } from '../../spec/status.ts';
import type { Findings, Requirement } from '../rule.ts';
import type { ConfigRead, ConfigWrite, Located, StatusRead, StatusShown, StatusWrite } from '../trace.ts';
import { isEmergencyWrite } from './config.ts';
import { suspendRequests } from './suspend-requests.ts';
import { waitedIsTaken } from './suspend-scan.ts';

const { DRIVER_OK, SUSPEND, DEVICE_NEEDS_RESET } = Status;

/** What a device does not do while it is suspended: a failure each time it does, and a pass for each rest without one. */
function atRest({ session, passed, failed }: Findings): {
  does: (what: string) => void;
  'device.phase': (change: { readonly from: string }) => void;
} {
  let broken = false;
  return {
    does: (what) => {
      if (session.device !== 'suspended') return;
      broken = true;
      failed(`${what} while the device is suspended`, session.deviceSince);
    },
    'device.phase': ({ from }) => {
      if (from === 'suspended' && !broken) passed();
      broken = false;
    },
  };
}

function fieldOf({ offset, width }: ConfigRead | ConfigWrite): string {
  return `${offset}:${width}`;
}

/** Device suspend, what the device does (§3.4.2). */
export const suspendDevice: readonly Requirement[] = [
  {
    id: 'suspend.device.1',
    section: '§3.4.2',
    level: 'MUST',
    role: 'device',
    text: 'A write of SUSPEND before the initialisation is complete has no effect.',
    check: ({ session, passed, failed }) => {
      let early: (StatusWrite & { readonly line: number }) | undefined;
      const look = ({ value }: StatusRead | StatusShown): void => {
        if (early === undefined) return;
        if ((value & SUSPEND) === 0) passed();
        else failed(`${describeStatus(value)} is shown to a driver that had not completed the initialisation`, early);
        early = undefined;
      };
      return {
        'status.write': (event) => {
          const isEarly = session.device === 'reset' || session.device === 'initializing';
          if ((event.value & SUSPEND) !== 0 && isEarly) early = event;
          else if (event.value === 0) early = undefined;
        },
        'status.read': look,
        'status.shown': look,
      };
    },
  },
  {
    id: 'suspend.device.2',
    section: '§3.4.2',
    level: 'SHOULD',
    inPatch: 'MUST',
    role: 'device',
    text: 'While suspended, writes to the configuration space have no effect, but for the status.',
    check: (findings) => {
      const { session, passed, failed } = findings;
      const values = new Map<string, number>();
      const written = new Map<string, Located<ConfigWrite>>();
      return {
        'config.write': (event) => {
          if (session.device !== 'suspended') values.delete(fieldOf(event));
          else if (!isEmergencyWrite(session.header.device, event)) written.set(fieldOf(event), event);
        },
        'config.read': (event) => {
          const write = written.get(fieldOf(event));
          const before = values.get(fieldOf(event));
          if (write === undefined) values.set(fieldOf(event), event.value);
          else if (event.value !== write.value) passed();
          else if (before !== undefined && before !== write.value) {
            failed(`the field at ${event.offset} has taken ${event.value} while suspended`, write);
          }
          written.delete(fieldOf(event));
        },
        'config.changed': () => {
          values.clear();
          written.clear();
        },
      };
    },
  },
  {
    id: 'suspend.device.3',
    section: '§3.4.2',
    level: 'MUST NOT',
    role: 'device',
    text: 'While suspended, no used buffer notification is sent.',
    check: (findings) => {
      const { does, ...rest } = atRest(findings);
      return { interrupt: ({ cause }) => cause === 'used' && does('a used buffer notification is sent'), ...rest };
    },
  },
  {
    id: 'suspend.device.4',
    section: '§3.4.2',
    level: 'MUST NOT',
    role: 'device',
    text: 'While suspended, no queue is read or written.',
    check: (findings) => {
      const { does, ...rest } = atRest(findings);
      return {
        memory: ({ by, access, queue }) => by === 'device' && does(`a ${access} of the memory of queue ${queue}`),
        'buffer.taken': ({ queue }) => does(`a buffer of queue ${queue} is taken`),
        'buffer.used': ({ queue }) => does(`a buffer of queue ${queue} is used`),
        ...rest,
      };
    },
  },
  {
    id: 'suspend.device.5',
    section: '§3.4.2',
    level: 'MUST NOT',
    role: 'device',
    text: 'While suspended, the configuration space keeps its values.',
    check: ({ session, passed, failed }) => {
      const values = new Map<string, Located<ConfigRead>>();
      return {
        'config.write': (event) => {
          values.delete(fieldOf(event));
        },
        'config.changed': () => {
          if (session.device !== 'suspended') values.clear();
        },
        interrupt: ({ cause }) => {
          if (cause === 'config' && session.device !== 'suspended') values.clear();
        },
        'config.read': (event) => {
          const before = values.get(fieldOf(event));
          if (before === undefined || session.device !== 'suspended') values.set(fieldOf(event), event);
          else if (before.value === event.value) passed();
          else failed(`the field at ${event.offset} has changed while suspended`, before, session.deviceSince);
        },
        'device.phase': ({ from }) => {
          if (from === 'suspended') values.clear();
        },
      };
    },
  },
  {
    id: 'suspend.device.6',
    section: '§3.4.2',
    level: 'MUST NOT',
    role: 'device',
    text: 'While suspended, no configuration change notification is sent.',
    check: (findings) => {
      const { does, ...rest } = atRest(findings);
      return {
        interrupt: ({ cause }) => cause === 'config' && does('a configuration change notification is sent'),
        ...rest,
      };
    },
  },
  {
    id: 'suspend.device.7',
    section: '§3.4.2',
    level: 'MUST',
    role: 'device',
    text: 'A configuration change during the rest is notified when the device runs again.',
    check: ({ session, passed, failed }) => {
      let change: Located | undefined;
      const check = (): void => {
        if (change !== undefined) failed('the driver is not told of the change', change);
      };
      return {
        'config.changed': (event) => {
          if (session.device === 'suspended') change = event;
        },
        interrupt: ({ cause }) => {
          if (cause !== 'config' || change === undefined || session.device === 'suspended') return;
          passed();
          change = undefined;
        },
        'device.phase': ({ from, to }) => {
          if (to === 'resetting' && from === 'running') check();
          if (to === 'resetting' || to === 'needsReset' || to === 'failed') change = undefined;
        },
        end: () => session.device === 'running' && check(),
      };
    },
  },
  ...suspendRequests,
  {
    id: 'suspend.device.10',
    section: '§3.4.2',
    level: 'SHOULD',
    role: 'device',
    text: 'Before it shows that it is suspended, the device stops taking buffers.',
    unseen: 'When it stops is its own affair; that it takes none from then on is suspend.device.4.',
  },
  {
    id: 'suspend.device.11',
    section: '§3.4.2',
    level: 'SHOULD',
    role: 'device',
    text: 'Before it shows that it is suspended, the device uses the buffers that are being processed.',
    check: ({ session, passed, failed }) => {
      const taken = new Map<string, Located>();
      let sawAny = false;
      return {
        'buffer.taken': (event) => {
          sawAny = true;
          taken.set(`${event.queue}:${event.id}`, event);
        },
        'buffer.used': ({ queue, id }) => {
          taken.delete(`${queue}:${id}`);
        },
        'device.phase': ({ from, to }) => {
          const [first] = taken.values();
          if (to === 'resetting' || to === 'needsReset') taken.clear();
          // A suspend that failed may show the same two bits.
          if (from !== 'suspending' || ((session.shown ?? 0) & (SUSPEND | DRIVER_OK)) !== SUSPEND) return;
          if (first !== undefined) failed('a buffer is still being processed', first, session.deviceSince);
          else if (sawAny) passed();
        },
      };
    },
  },
  {
    id: 'suspend.device.12',
    section: '§3.4.2',
    level: 'SHOULD',
    role: 'device',
    text: 'Before it shows that it is suspended, the device sends the used buffer notifications that it owes.',
    check: ({ session, passed, failed }) => {
      /** Buffers used since the last notification, and those of them that a suspend has overtaken. */
      let untold: Located | undefined;
      let overtaken: Located | undefined;
      return {
        'buffer.used': (event) => {
          untold ??= event;
          // From now on a notification may be about this one.
          if (session.device !== 'suspended') overtaken = undefined;
        },
        interrupt: ({ cause }) => {
          if (cause !== 'used') return;
          if (overtaken !== undefined && session.device !== 'suspended') {
            failed('the notification of a buffer comes after the suspend that it was used before', overtaken);
          } else if (session.device === 'suspending' && untold !== undefined) passed();
          untold = overtaken = undefined;
        },
        'device.phase': ({ to }) => {
          if (to === 'suspended') overtaken = untold;
          else if (to === 'resetting' || to === 'needsReset') untold = overtaken = undefined;
        },
      };
    },
  },
  waitedIsTaken,
  {
    id: 'suspend.device.failed',
    section: '§3.4.2',
    level: 'SHOULD NOT',
    role: 'device',
    text: 'A suspend that fails is not shown as one that is done, by SUSPEND without DRIVER_OK.',
    check: ({ session, passed, failed }) => {
      const look = ({ kind, value }: StatusRead | StatusShown): void => {
        if (session.device !== 'suspending' || (value & DEVICE_NEEDS_RESET) === 0) return;
        if ((value & (SUSPEND | DRIVER_OK)) !== SUSPEND) passed();
        // Between two reads it may have been suspended, and failed then.
        else if (kind === 'status.shown') failed(`${describeStatus(value)} is shown`, session.deviceSince);
      };
      return { 'status.read': look, 'status.shown': look };
    },
  },
  {
    id: 'suspend.device.negotiated',
    section: '§3.4',
    level: 'MUST NOT',
    role: 'device',
    text: 'Without VIRTIO_F_SUSPEND a device does not suspend, nor show that bit.',
    check: ({ session, passed, failed }) => {
      let request: Located | undefined;
      const look = ({ value }: StatusRead | StatusShown): void => {
        if (request === undefined) return;
        if ((value & SUSPEND) === 0 && (value & DRIVER_OK) !== 0) passed();
        else if ((value & SUSPEND) !== 0) failed(`${describeStatus(value)} is shown`, request);
        request = undefined;
      };
      return {
        'status.write': (event) => {
          const isAsked = (event.value & SUSPEND) !== 0 && session.device === 'running';
          request = isAsked && !session.has(Feature.SUSPEND) ? event : undefined;
        },
        'status.read': look,
        'status.shown': look,
      };
    },
  },
];
