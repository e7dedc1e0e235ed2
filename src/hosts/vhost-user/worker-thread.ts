import { type MessagePort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { EventFd } from '../../unix/event-fd.ts';
import { BackEnd } from './back-end.ts';
import { LoopClock } from './loop-clock.ts';
import { runPollingLoop } from './polling-loop.ts';
import { LocalServer } from './server.ts';
import type { ServedDevice, ServedDeviceMaker } from './worker.ts';
import type { WorkerCall, WorkerMessage, WorkerOrder, WorkerStart } from './worker-messages.ts';

const { start, port } = workerData as { readonly start: WorkerStart; readonly port: MessagePort };
const post = (message: WorkerMessage): void => port.postMessage(message);

const { default: maker } = (await import(start.module)) as { default?: ServedDeviceMaker };
if (typeof maker !== 'function')
  throw new TypeError(`${start.module} exports no function by default that makes a device`);
const served: ServedDevice = await maker(start.options as never, (what) => post({ kind: 'told', what }));
const clock = new LoopClock();
const backEnd = new BackEnd({
  path: start.path,
  type: served.type,
  device: {
    withhold: start.withhold,
    offer: start.offer,
    ...(start.suspendLimitMs === undefined ? {} : { suspendLimitMs: start.suspendLimitMs }),
  },
  clock,
  onEvent: (event) => post({ kind: 'event', event }),
});
const server = new LocalServer(start.path, backEnd, async () => {
  ended = true;
  lookAgain();
  await loop;
});
let ended = false;
let callsUnderWay = 0;

const calls: Readonly<Record<string, (...args: never[]) => unknown>> = {
  status: () => server.status(),
  pause: (limitMs?: number) => server.pause(limitMs),
  continue: () => server.continue(),
  save: () => server.save(),
  restore: (state: unknown) => server.restore(state),
  close: async (limitMs?: number) => {
    await server.close(limitMs);
    await served.close?.();
  },
};

async function answer({ id, name, args }: WorkerCall): Promise<void> {
  callsUnderWay++;
  try {
    const call = Object.hasOwn(calls, name) ? calls[name] : served.commands?.[name];
    if (call === undefined) throw new RangeError(`there is no command "${name}"`);
    post({ kind: 'answer', id, value: await (call as (...args: readonly unknown[]) => unknown)(...args) });
  } catch (error) {
    post({ kind: 'error', id, error: error as Error });
  }
  callsUnderWay--;
  lookAgain();
}

/** The loop looks whether it may sleep, or has ended. */
function lookAgain(): void {
  clock.after(0, () => {});
}

// Messages are taken here, and not by the port: nobody runs the event loop while the thread waits for a kick.
const wake = EventFd.from(start.wakeFd);
backEnd.also(wake.fd, () => {
  wake.take();
  for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) {
    const order = next.message as WorkerOrder;
    if (order.kind === 'leave') ended = true;
    else void answer(order);
  }
});
// The thread does not end by itself: its last answer would be lost.
port.ref();
post({ kind: 'ready' });
const loop = runPollingLoop({
  backEnd,
  clock,
  pollUs: start.pollUs,
  busy: () => callsUnderWay > 0,
  ended: () => ended,
});
await loop;
