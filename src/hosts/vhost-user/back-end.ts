import type { Clock } from '../../device/clock.ts';
import { Device } from '../../device/device.ts';
import type { DeviceOptions } from '../../device/device-options.ts';
import type { DeviceType } from '../../device/device-type.ts';
import { withoutQueues } from '../../device/saved-device.ts';
import { GuestMemory } from '../../memory/guest-memory.ts';
import { StateError } from '../../spec/fault.ts';
import { Feature } from '../../spec/features.ts';
import { Poller } from '../../unix/poller.ts';
import { UnixListener, type UnixSocket } from '../../unix/socket.ts';
import { FrontEnd } from './front-end.ts';
import { FrontEndMemory } from './front-end-memory.ts';
import type { ServerEvent, ServerStatus } from './server.ts';
import { Session } from './session.ts';

export interface BackEndOptions {
  readonly path: string;
  readonly type: DeviceType;
  readonly device: DeviceOptions;
  readonly clock: Clock;
  readonly onEvent: (event: ServerEvent) => void;
}

/** What the poller says has happened; smaller numbers are kicks of that queue. */
const Tag = { LISTENER: 0x1_0000, SESSION: 0x1_0001 } as const;
const FIRST_OTHER_TAG = 0x1_0002;
/** How many regions of memory a front-end may have. */
const MOST_REGIONS = 509;
/** After a connection could not be accepted, as when too many files are open. */
const ACCEPT_AGAIN_MS = 1000;

/**
 * A device behind a socket, served to one front-end at a time. It does something only within `turn`, which some loop calls: an
 * event loop when `poller` can be read, or a thread of its own that waits in `turn`.
 */
export class BackEnd {
  readonly poller: Poller = new Poller();
  readonly device: Device;
  readonly #clock: Clock;
  readonly #onEvent: (event: ServerEvent) => void;
  readonly #listener: UnixListener;
  readonly #memory: FrontEndMemory;
  readonly #others = new Map<number, () => void>();
  readonly #onDemand: boolean;
  #session: Session | undefined;
  #frontEnd: FrontEnd | undefined;
  #waiting = false;
  #sessions = 0;
  #kicks = 0;
  #interrupts = 0;

  /** Throws TransportError when the path cannot be listened at. */
  constructor({ path, type, device, clock, onEvent }: BackEndOptions) {
    this.#clock = clock;
    this.#onEvent = onEvent;
    const memory = new GuestMemory();
    this.#memory = new FrontEndMemory(memory, MOST_REGIONS);
    // The front-end makes the queues, and its guest's driver is not told that they are smaller than they could be.
    const longestTable = Math.max(...type.queues.map(({ maxSize }) => maxSize));
    this.device = new Device(type, memory, { offer: [Feature.RING_PACKED], longestTable, clock, ...device });
    this.#onDemand = this.device.queues.some((slot) => slot.onDemand);
    this.#listener = UnixListener.listen(path);
    this.poller.add(this.#listener.fd, Tag.LISTENER);
    this.device.transport = {
      usedBuffer: (queue) => {
        this.#interrupts++;
        this.#frontEnd?.usedBuffer(queue);
      },
      configChange: () => this.#tell((frontEnd) => frontEnd.configChanged()),
      reset: () => {},
    };
    this.device.observer = {
      failed: (error) => {
        this.#onEvent({ event: 'failed', reason: error.message });
        this.#tell((frontEnd) => frontEnd.deviceFailed());
      },
    };
  }

  /** Nothing is under way that needs the event loop: a thread may wait in `turn` for what comes next. */
  get mayBlock(): boolean {
    return !this.#waiting && !this.#onDemand && this.device.inFlight === 0 && this.#frontEnd?.busy !== true;
  }

  get status(): ServerStatus {
    const { device } = this;
    return {
      connected: this.#session !== undefined,
      status: device.status,
      paused: device.paused,
      failure: device.failure?.message ?? null,
      inFlight: device.inFlight,
      sessions: this.#sessions,
      kicks: this.#kicks,
      interrupts: this.#interrupts,
      memory: this.#memory.extent,
      queues: device.queues.map(({ size, queue, served }) => ({ size, inUse: queue !== undefined, served })),
    };
  }

  /** Calls back in a turn in which `fd` can be read. */
  also(fd: number, callback: () => void): void {
    const tag = FIRST_OTHER_TAG + this.#others.size;
    this.#others.set(tag, callback);
    this.poller.add(fd, tag);
  }

  /** Waits at most `timeoutMs`, -1 for ever, and does what there is to do. With `looking` the caller looks at the queues next. */
  turn(timeoutMs: number, { looking = false }: { readonly looking?: boolean } = {}): void {
    for (const tag of this.poller.wait(timeoutMs)) {
      if (tag < Tag.LISTENER) {
        this.#kicks++;
        if (!looking) this.device.kick(tag);
      } else if (tag === Tag.SESSION) this.#serve();
      else if (tag === Tag.LISTENER) this.#accept();
      else this.#others.get(tag)?.();
    }
  }

  /** See `VhostUserServer.restore`. */
  restore(saved: unknown): void {
    if (this.#session !== undefined)
      throw new StateError('a front-end is connected: a state is restored before one is');
    this.device.restore(withoutQueues(saved));
  }

  /** Ends the session, if there is one, and takes the path away. What is in flight has no effect on the guest any more. */
  close(): void {
    this.#endSession('the server is closed');
    this.#listener.close();
    this.poller.close();
  }

  #accept(): void {
    // The end of the session before may have come together with the next connection.
    this.#serve();
    let socket: UnixSocket;
    try {
      socket = this.#listener.accept();
    } catch (error) {
      this.#onEvent({ event: 'refused', reason: (error as Error).message });
      this.poller.remove(this.#listener.fd);
      this.#clock.after(ACCEPT_AGAIN_MS, () => this.poller.add(this.#listener.fd, Tag.LISTENER));
      return;
    }
    if (this.#session !== undefined) {
      socket.close();
      this.#onEvent({ event: 'refused', reason: 'another front-end is connected' });
      return;
    }
    this.#sessions++;
    const rejected = (message: string, { message: reason }: Error): void => {
      this.#onEvent({ event: 'rejected', message, reason });
    };
    this.#frontEnd = new FrontEnd(this.device, this.#memory, {
      rejected,
      watch: (fd, queue) => this.poller.add(fd, queue, { edge: true }),
      unwatch: (fd) => this.poller.remove(fd),
      resumed: (queue, requests) => this.#onEvent({ event: 'resumed', queue, requests }),
    });
    const session = new Session(socket, this.#frontEnd, {
      waiting: (waiting) => this.#wait(session, waiting),
      rejected,
      broken: (error) => void this.#clock.after(0, () => this.#broken(session, error)),
    });
    this.#session = session;
    this.poller.add(session.fd, Tag.SESSION);
    this.#onEvent({ event: 'connected' });
  }

  #serve(): void {
    const session = this.#session;
    if (session === undefined) return;
    if (this.#waiting) {
      if (session.isAbandoned) this.#endSession('the front-end has closed the connection');
      return;
    }
    try {
      if (!session.serve()) this.#endSession('the front-end has closed the connection');
    } catch (error) {
      this.#broken(session, error as Error);
    }
  }

  #broken(session: Session, error: Error): void {
    if (this.#session === session) this.#endSession(error.message);
  }

  /**
   * While a message is in hand nothing is read, and its successors stay in the socket, which would be readable all the time: the
   * poller tells only what is new, as that the front-end is gone.
   */
  #wait(session: Session, waiting: boolean): void {
    if (this.#session !== session) return;
    this.#waiting = waiting;
    this.poller.remove(session.fd);
    this.poller.add(session.fd, Tag.SESSION, { edge: waiting });
  }

  #endSession(reason: string): void {
    const session = this.#session;
    if (session === undefined) return;
    this.#session = undefined;
    this.#frontEnd = undefined;
    this.poller.remove(session.fd);
    this.#waiting = false;
    session.close();
    this.#onEvent({ event: 'disconnected', reason });
  }

  /** What cannot be told ends the session, later: the device is in the middle of something. */
  #tell(what: (frontEnd: FrontEnd) => void): void {
    const [session, frontEnd] = [this.#session, this.#frontEnd];
    if (session === undefined || frontEnd === undefined) return;
    try {
      what(frontEnd);
    } catch (error) {
      this.#clock.after(0, () => this.#broken(session, error as Error));
    }
  }
}
