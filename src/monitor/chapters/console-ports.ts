import { DeviceId } from '../../spec/device-ids.ts';
import { HexBytes } from '../ring-memory.ts';
import type { Check, Findings, Requirement, Rule } from '../rule.ts';
import type { BufferAvailable, BufferUsed, Located } from '../trace.ts';
import { ofType, type SentencesOf, unseenEach } from './device-type.ts';

/** Feature bit (§5.3.3), a field of the configuration space (§5.3.4), and the queues of control messages (§5.3.2). */
const MULTIPORT = 1;
const MAX_NR_PORTS = 4;
const CONTROL_RECEIVE = 2;
const CONTROL_TRANSMIT = 3;

/** What control messages are about (§5.3.6.2): port u32, event u16, value u16. */
const DEVICE_READY = 0;
const DEVICE_ADD = 1;
const DEVICE_REMOVE = 2;
const CONSOLE_PORT = 4;
const PORT_OPEN = 6;
const MESSAGE_BYTES = 8;

interface ControlMessage<E extends BufferAvailable | BufferUsed> {
  readonly event: Located<E>;
  readonly port: number;
  readonly about: number;
  readonly value: number;
}

interface MessageHandlers {
  readonly fromDriver?: (message: ControlMessage<BufferAvailable>) => void;
  /** Undefined for one that is not known. */
  readonly fromDevice?: (message: ControlMessage<BufferUsed> | undefined) => void;
  /** The device has forgotten everything, by what its driver did; or the trace is over. */
  readonly over?: () => void;
}

/** Follows the control messages of a console with several ports. */
function onMessages({ session }: Findings, { fromDriver, fromDevice, over }: MessageHandlers): Check {
  return {
    'buffer.available': (event) => {
      if (event.queue !== CONTROL_TRANSMIT || !session.has(MULTIPORT)) return;
      const message = messageIn(event, session.contentsOf(event, 'driver')?.head);
      if (message !== undefined) fromDriver?.(message);
    },
    'buffer.used': (event) => {
      if (event.queue !== CONTROL_RECEIVE || !session.has(MULTIPORT)) return;
      const head = session.contentsOf(event, 'device')?.head;
      fromDevice?.(event.written < MESSAGE_BYTES ? undefined : messageIn(event, head));
    },
    'driver.phase': ({ to }) => {
      if (to === 'reset') over?.();
    },
    end: () => over?.(),
  };
}

function messageIn<E extends BufferAvailable | BufferUsed>(
  event: Located<E>,
  head: string | undefined,
): ControlMessage<E> | undefined {
  const bytes = new HexBytes(head ?? '');
  if (bytes.length < MESSAGE_BYTES) return undefined;
  return { event, port: bytes.u32(0), about: bytes.u16(4), value: bytes.u16(6) };
}

/** The ports that a device has added. */
class Ports {
  readonly added = new Map<number, Located<BufferUsed>>();
  /** Nothing that the device has said since its reset was missed. */
  areAll = false;

  /** A message of the device, after it was judged. */
  follow(message: ControlMessage<BufferUsed> | undefined): void {
    if (message === undefined) this.begin(false);
    else if (message.about === DEVICE_ADD) this.added.set(message.port, message.event);
    else if (message.about === DEVICE_REMOVE) this.added.delete(message.port);
  }

  begin(areAll: boolean): void {
    this.added.clear();
    this.areAll = areAll;
  }
}

const portsAreAddedOnce: Rule = {
  id: 'console.device.multiport.1',
  section: '§5.3.6.2.1',
  level: 'MUST NOT',
  role: 'device',
  text: 'A port is added once, and only below max_nr_ports.',
  check: ofType(DeviceId.CONSOLE, (findings) => {
    const { session, passed, failed } = findings;
    const ports = new Ports();
    return onMessages(findings, {
      fromDevice: (message) => {
        if (message?.about === DEVICE_ADD) {
          const { port } = message;
          const most = session.configured(MAX_NR_PORTS, 4);
          if (ports.added.has(port)) failed(`port ${port} is added once more`, ports.added.get(port));
          else if (most !== undefined && port >= most) failed(`port ${port} is added, and there are ${most} at most`);
          else passed();
        }
        ports.follow(message);
      },
      over: () => ports.begin(true),
    });
  }),
};

const portsWereAdded: Rule = {
  id: 'console.device.multiport.2',
  section: '§5.3.6.2.1',
  level: 'MUST NOT',
  role: 'device',
  text: 'Only a port that was added is removed.',
  check: ofType(DeviceId.CONSOLE, (findings) => {
    const { passed, failed } = findings;
    const ports = new Ports();
    return onMessages(findings, {
      fromDevice: (message) => {
        if (message?.about === DEVICE_REMOVE) {
          if (ports.added.has(message.port)) passed();
          else if (ports.areAll) failed(`port ${message.port} is removed, and was never added`);
        }
        ports.follow(message);
      },
      over: () => ports.begin(true),
    });
  }),
};

const readyIsSaid: Rule = {
  id: 'console.driver.multiport.1',
  section: '§5.3.6.2.2',
  level: 'MUST',
  role: 'driver',
  text: 'With MULTIPORT the driver says that it is ready.',
  check: ofType(DeviceId.CONSOLE, (findings) => {
    const { passed, failed } = findings;
    let isReady = false;
    /** What it has said instead; one that has said nothing may still be about to. */
    let other: Located<BufferAvailable> | undefined;
    return onMessages(findings, {
      fromDriver: ({ about, event }) => {
        if (about !== DEVICE_READY) {
          other ??= event;
          return;
        }
        isReady = true;
        passed();
      },
      over: () => {
        if (!isReady && other !== undefined)
          failed('the driver speaks of ports, and never says that it is ready', other);
        isReady = false;
        other = undefined;
      },
    });
  }),
};

const consolesAreOpened: Rule = {
  id: 'console.driver.multiport.3',
  section: '§5.3.6.2.2',
  level: 'MUST',
  role: 'driver',
  text: 'The naming of a port as a console is answered with its opening.',
  check: ofType(DeviceId.CONSOLE, (findings) => {
    const { passed, failed } = findings;
    /** By port: its naming, and what the driver has said since. */
    const named = new Map<number, { readonly naming: Located<BufferUsed>; since?: Located<BufferAvailable> }>();
    return onMessages(findings, {
      fromDevice: (message) => {
        if (message?.about === CONSOLE_PORT) named.set(message.port, { naming: message.event });
      },
      fromDriver: ({ about, port, event }) => {
        if (about === PORT_OPEN && named.delete(port)) passed();
        for (const waiting of named.values()) waiting.since ??= event;
      },
      over: () => {
        // One that has not spoken since may still be about to.
        for (const [port, { naming, since }] of named) {
          if (since !== undefined) failed(`port ${port} is named a console, and not opened`, naming, since);
        }
        named.clear();
      },
    });
  }),
};

const consolesAreOpen: Rule = {
  id: 'console.driver.multiport.4',
  section: '§5.3.6.2.2',
  level: 'MUST',
  role: 'driver',
  text: 'The value of that answer is 1.',
  check: ofType(DeviceId.CONSOLE, (findings) => {
    const { passed, failed } = findings;
    const named = new Map<number, Located<BufferUsed>>();
    return onMessages(findings, {
      fromDevice: (message) => {
        if (message?.about === CONSOLE_PORT) named.set(message.port, message.event);
      },
      fromDriver: ({ about, port, value }) => {
        const naming = named.get(port);
        if (about !== PORT_OPEN || naming === undefined) return;
        named.delete(port);
        if (value === 1) passed();
        else failed(`port ${port} is named a console, and answered with ${value}`, naming);
      },
      over: () => named.clear(),
    });
  }),
};

const driver: SentencesOf = { prefix: 'console.driver.multiport', section: '§5.3.6.2.2', role: 'driver' };

/** A console with several ports (§5.3.6.2). */
export const consolePorts: readonly Requirement[] = [
  portsAreAddedOnce,
  portsWereAdded,
  readyIsSaid,
  consolesAreOpened,
  consolesAreOpen,
  ...unseenEach(driver, {
    2: [
      'SHOULD',
      'A port that is named a console becomes one for text.',
      'What the users of a driver see of a port is behind it; that it is opened is console.driver.multiport.3.',
    ],
  }),
];
