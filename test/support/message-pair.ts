import type { MessageEnd } from '../../src/hosts/loopback/messages.ts';

/** Two ends of a channel within one thread: messages are cloned, keep their order and come in a later turn. */
export function messagePair(): [MessageEnd, MessageEnd] {
  const make = (other: () => MessageEnd): MessageEnd => ({
    onmessage: null,
    postMessage: (message) => {
      const data: unknown = structuredClone(message);
      setImmediate(() => other().onmessage?.({ data }));
    },
  });
  const pair: [MessageEnd, MessageEnd] = [make(() => pair[1]), make(() => pair[0])];
  return pair;
}

/** What comes in at one end, for a test to wait for. */
export class Inbox {
  readonly #messages: unknown[] = [];
  #wake = (): void => {};

  constructor(end: MessageEnd) {
    end.onmessage = ({ data }) => {
      this.#messages.push(data);
      this.#wake();
    };
  }

  async next(): Promise<unknown> {
    while (this.#messages.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#messages.shift();
  }
}
