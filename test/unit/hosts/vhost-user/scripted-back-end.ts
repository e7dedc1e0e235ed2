import { BackEndFrames } from '../../../../src/hosts/vhost-user/back-end-frames.ts';
import { frame, type Message, MessageReader } from '../../../../src/hosts/vhost-user/message-reader.ts';
import { HeaderFlag, messageShapes, type RequestName } from '../../../../src/hosts/vhost-user/messages.ts';
import { closeFd } from '../../../../src/unix/file-descriptor.ts';
import { whenReadable } from '../../../../src/unix/poller.ts';
import { UnixListener, UnixSocket } from '../../../../src/unix/socket.ts';

/** What a back-end that lies does with a message: bytes to send for it, nothing, or the end; undefined when it does its duty. */
export type Lie = Uint8Array | 'nothing' | 'end' | undefined;

/**
 * Stands between a front-end and an honest back-end: hands on what it has no lie for, and may change the replies. Descriptors that
 * `lie` takes out of a message are the script's.
 */
export class ScriptedBackEnd {
  lie: (message: Message) => Lie = () => undefined;
  reply: (name: RequestName, payload: Uint8Array) => Uint8Array = (_, payload) => payload;
  /** What has come, by name. */
  readonly heard: RequestName[] = [];
  readonly #listener: UnixListener;
  readonly #honestPath: string;
  readonly #open: { close(): void }[] = [];
  #front: UnixSocket | undefined;

  constructor(path: string, honestPath: string) {
    this.#honestPath = honestPath;
    this.#listener = UnixListener.listen(path);
    this.#open.push(whenReadable(this.#listener.fd, () => this.#accept()));
  }

  /** Sends bytes of no message's. */
  say(bytes: Uint8Array, fds: readonly number[] = []): void {
    this.#front!.send(bytes, fds);
  }

  close(): void {
    for (const each of this.#open.splice(0)) each.close();
    this.#listener.close();
  }

  #accept(): void {
    const front = this.#listener.accept();
    const honest = UnixSocket.connect(this.#honestPath);
    this.#front = front;
    const reader = new MessageReader(front);
    const replies = new BackEndFrames(honest);
    const watches = [
      whenReadable(front.fd, () => {
        for (let message = reader.next(); message !== undefined; message = reader.next()) {
          if (message === 'end' || !this.#handle(message, front, honest)) return end();
        }
      }),
      whenReadable(honest.fd, () => {
        const goesOn = replies.receive(({ request, flags, payload }) => {
          const { name } = messageShapes.get(request)!;
          front.send(frame(request, flags, this.reply(name, new Uint8Array(payload.buffer))));
        });
        if (!goesOn) end();
      }),
    ];
    const end = (): void => {
      for (const each of [...watches, front, honest, reader]) each.close();
      watches.length = 0;
    };
    this.#open.push({ close: () => watches.length > 0 && end() });
  }

  /** False when the connection is to be ended. */
  #handle(message: Message, front: UnixSocket, honest: UnixSocket): boolean {
    const { shape, needsReply, payload, fds } = message;
    this.heard.push(shape.name);
    const lie = this.lie(message);
    if (lie === undefined) {
      const flags = needsReply ? HeaderFlag.NEED_REPLY : 0;
      honest.send(frame(shape.request, flags, new Uint8Array(payload.buffer)), fds);
    } else if (lie instanceof Uint8Array) front.send(lie);
    for (const fd of fds.splice(0)) closeFd(fd);
    return lie !== 'end';
  }
}
