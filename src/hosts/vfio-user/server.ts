import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { PciDevice } from '../../transports/pci/device.ts';
import { EventFd } from '../../unix/event-fd.ts';
import { whenReadable } from '../../unix/poller.ts';
import { UnixListener, type UnixSocket } from '../../unix/socket.ts';
import { ClientInterrupts, type SignalMaker } from './interrupts.ts';
import { MessageSocket } from './message-socket.ts';
import { ServedFunction } from './served-function.ts';
import { Session } from './session.ts';

export interface VfioUserOptions {
  /** Of the socket. One that a process left behind is taken over. */
  readonly path: string;
  /** The function that is served, to one client at a time. */
  readonly function: PciDevice;
  /** The GuestMemory that the device was made with, without any region: it becomes the client's memory. */
  readonly memory: GuestMemory;
  readonly onEvent?: (event: VfioUserEvent) => void;
}

/** What goes on, for logs. */
export type VfioUserEvent =
  | { readonly kind: 'connected' }
  /** `error` when the client did not just close the connection. */
  | { readonly kind: 'disconnected'; readonly error: Error | undefined }
  /** The machine resets the function: its driver, if it has one, does not know. */
  | { readonly kind: 'reset' }
  /** Somebody connected who cannot be served. */
  | { readonly kind: 'refused'; readonly reason: string };

export interface VfioUserStatus {
  readonly connected: boolean;
  /** Clients so far. */
  readonly sessions: number;
  /** Regions of the client's memory, and how many bytes of them the device can reach. */
  readonly dmaRegions: number;
  readonly mappedBytes: number;
}

/** Serves a PCI function to a virtual machine over the vfio-user protocol. Throws TransportError when the path cannot be had. */
export function serveVfioUser(options: VfioUserOptions): VfioUserServer {
  return new VfioUserServer(options, UnixListener.listen(options.path));
}

/** How often accepting is tried again when the process has no descriptors left. */
const RETRY_MS = 1000;

/** Descriptors of clients as what they have to be. */
const eventFds: SignalMaker = {
  trigger: (fd) => EventFd.from(fd),
  unmask: (fd, callback) => {
    const event = EventFd.from(fd);
    const poll = whenReadable(fd, () => {
      if (event.take()) callback();
    });
    return {
      close: () => {
        poll.close();
        event.close();
      },
    };
  },
};

/** A function that is served: see `serveVfioUser`. Keeps the process alive until it is closed. */
export class VfioUserServer {
  readonly path: string;
  readonly #served: ServedFunction;
  readonly #listener: UnixListener;
  readonly #onEvent: (event: VfioUserEvent) => void;
  #accepting: { close(): void } | undefined;
  #retry: NodeJS.Timeout | undefined;
  #client: { readonly socket: MessageSocket; readonly interrupts: ClientInterrupts } | undefined;
  /** The last client is on its way out, and what was in flight with it. */
  #leaving: Promise<void> | undefined;
  /** A client that came meanwhile. */
  #next: UnixSocket | undefined;
  #sessions = 0;
  #closed = false;

  constructor({ path, function: fn, memory, onEvent = () => {} }: VfioUserOptions, listener: UnixListener) {
    this.path = path;
    this.#served = new ServedFunction(fn, memory, () => onEvent({ kind: 'reset' }));
    this.#listener = listener;
    this.#onEvent = onEvent;
    this.#accept();
  }

  get status(): VfioUserStatus {
    const { regions } = this.#served;
    return {
      connected: this.#client !== undefined,
      sessions: this.#sessions,
      dmaRegions: regions.count,
      mappedBytes: regions.mappedBytes,
    };
  }

  /**
   * Ends the session and takes the path away. What is in flight ends first. The device keeps its state; if its driver was at work
   * it is left paused, for its memory is gone.
   */
  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      clearTimeout(this.#retry);
      this.#accepting?.close();
      this.#listener.close();
      this.#client?.socket.close();
      this.#leave();
    }
    await this.#leaving;
  }

  #accept(): void {
    this.#accepting = whenReadable(this.#listener.fd, () => {
      try {
        this.#connected();
      } catch (error) {
        this.#accepting?.close();
        this.#retry = setTimeout(() => this.#accept(), RETRY_MS);
        this.#onEvent({ kind: 'refused', reason: (error as Error).message });
      }
    });
  }

  #connected(): void {
    const socket = this.#listener.accept();
    // The client before may have gone in the same moment.
    this.#client?.socket.look();
    if (this.#client !== undefined || this.#next !== undefined) {
      socket.close();
      this.#onEvent({ kind: 'refused', reason: 'the function has a client already' });
    } else if (this.#leaving !== undefined) this.#next = socket;
    else this.#serve(socket);
  }

  #serve(socket: UnixSocket): void {
    this.#sessions++;
    const interrupts = new ClientInterrupts(this.#served.fn, eventFds);
    const session = new Session(this.#served, interrupts);
    const messages = new MessageSocket(socket, {
      message: (message) => {
        const send = (reply: Uint8Array | undefined): void => {
          if (reply !== undefined) messages.send(reply);
        };
        const reply = session.handle(message);
        return reply instanceof Promise ? reply.then(send) : send(reply);
      },
      ended: (error) => {
        this.#leave();
        this.#onEvent({ kind: 'disconnected', error });
      },
    });
    this.#client = { socket: messages, interrupts };
    this.#onEvent({ kind: 'connected' });
  }

  #leave(): void {
    if (this.#client === undefined) return;
    this.#client.interrupts.close();
    this.#client = undefined;
    this.#leaving = this.#served.leave().finally(() => {
      this.#leaving = undefined;
      const next = this.#next;
      this.#next = undefined;
      if (next !== undefined && !this.#closed) this.#serve(next);
      else next?.close();
    });
  }
}
