import { ProtocolError } from '../../spec/fault.ts';
import { whenReadable } from '../../unix/poller.ts';
import { UnixSocket } from '../../unix/socket.ts';
import { type BackEndFrame, BackEndFrames } from './back-end-frames.ts';
import { send, u64 } from './message-reader.ts';
import { BackendRequest, HeaderFlag } from './messages.ts';

export interface ChannelHooks {
  configChanged(): void;
  /** The back-end says what makes no sense, or does not read the answers. The channel is closed then. */
  failed(error: Error): void;
}

/**
 * The way back, for what a back-end says by itself: that the configuration has changed, and nothing else. What it asks for
 * besides is refused where it waits for an answer, else it ends the channel: the back-end would go on as if it had been obeyed. A
 * back-end that closes the channel has nothing more to say.
 */
export class DriverChannel {
  /** The end that the back-end gets; whoever has sent it closes it. */
  readonly far: UnixSocket;
  readonly #socket: UnixSocket;
  readonly #frames: BackEndFrames;
  readonly #hooks: ChannelHooks;
  readonly #watch: { close(): void };
  #closed = false;

  constructor(hooks: ChannelHooks) {
    [this.#socket, this.far] = UnixSocket.pair();
    this.#frames = new BackEndFrames(this.#socket);
    this.#hooks = hooks;
    this.#watch = whenReadable(this.#socket.fd, () => this.hear());
  }

  /** Takes what has come, before the event loop does. */
  hear(): void {
    if (this.#closed) return;
    try {
      if (!this.#frames.receive((frame) => this.#handle(frame))) this.close();
    } catch (error) {
      this.close();
      this.#hooks.failed(error as Error);
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#watch.close();
    this.#socket.close();
    this.far.close();
  }

  #handle({ request, flags }: BackEndFrame): void {
    if (this.#closed) return;
    if ((flags & HeaderFlag.REPLY) !== 0) {
      throw new ProtocolError('vhost.backend.message.flags', `a reply to message ${request}, which was not asked`);
    }
    const isKnown = request === BackendRequest.CONFIG_CHANGE;
    const asked = (flags & HeaderFlag.NEED_REPLY) !== 0;
    if (!isKnown && !asked) {
      throw new ProtocolError('vhost.backend.message.known', `message ${request} is not known here`);
    }
    if (asked) send(this.#socket, request, HeaderFlag.REPLY, u64(isKnown ? 0n : 1n));
    if (isKnown) this.#hooks.configChanged();
  }
}
