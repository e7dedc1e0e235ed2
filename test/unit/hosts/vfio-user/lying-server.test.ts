/** A server that answers otherwise than it should: the client's requests reject, and say so. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VfioUserClient } from '../../../../src/hosts/vfio-user/client.ts';
import { MessageSocket } from '../../../../src/hosts/vfio-user/message-socket.ts';
import {
  type CommandName,
  commandsByCode,
  encodeError,
  encodeReply,
  encodeRequest,
  type Reply,
} from '../../../../src/hosts/vfio-user/messages.ts';
import { RequestSocket } from '../../../../src/hosts/vfio-user/request-socket.ts';
import { ProtocolError, TransportError } from '../../../../src/spec/fault.ts';
import { whenReadable } from '../../../../src/unix/poller.ts';
import { UnixListener, UnixSocket } from '../../../../src/unix/socket.ts';
import { openFds } from '../../unix/open-fds.ts';
import { VfioRig } from './vfio-rig.ts';

let fdsBefore: number;
const cleanUp: (() => void | Promise<void>)[] = [];
beforeEach(() => {
  fdsBefore = openFds();
});
afterEach(async () => {
  for (const action of cleanUp.splice(0).reverse()) await action();
  expect(openFds()).toBe(fdsBefore);
});

/** What is sent for a request; undefined for nothing, `'end'` for the end of the connection. */
type Script = (name: CommandName, id: number, code: number) => Uint8Array | 'end' | undefined;

function serve(socket: UnixSocket, script: Script): void {
  const messages = new MessageSocket(socket, {
    message: ({ header: { id, code } }) => {
      const answer = script(commandsByCode.get(code)!.name, id, code);
      if (answer === 'end') messages.close();
      else if (answer !== undefined) messages.send(answer);
    },
    ended: () => {},
  });
  cleanUp.push(() => messages.close());
}

function connected(script: Script, replyLimitMs?: number): RequestSocket {
  const [near, far] = UnixSocket.pair();
  serve(far, script);
  const requests = new RequestSocket(near, replyLimitMs);
  cleanUp.push(() => requests.close());
  return requests;
}

const READ = { offset: 0, region: 7, count: 2 };
const data = Uint8Array.of(1, 2);

describe('a request', () => {
  it('is answered by its number, in whichever order', async () => {
    const waiting: number[] = [];
    const requests = connected((_, id) => {
      waiting.push(id);
      if (waiting.length < 3) return undefined;
      const replies = waiting.reverse().map((each) => encodeReply(each, 'regionRead', READ, Uint8Array.of(each)));
      return Buffer.concat(replies);
    });
    const reads = [1, 2, 3].map(() => requests.request('regionRead', READ));
    expect((await Promise.all(reads)).map((reply) => reply.data[0])).toEqual([1, 2, 3]);
  });

  it('rejects with the number of an error', async () => {
    const requests = connected((_, id, code) => encodeError({ id, code }, 22));
    await expect(requests.request('reset', {})).rejects.toThrow(
      new TransportError('the vfio-user server refused reset: error 22'),
    );
  });

  it('rejects when something else is answered, or too little', async () => {
    const other = connected((_, id) => encodeReply(id, 'reset', {}));
    await expect(other.request('regionRead', READ)).rejects.toThrow('answered regionRead with something else');
    const short = connected((_, id, code) => {
      const bytes = encodeReply(id, 'reset', {});
      new DataView(bytes.buffer).setUint16(2, code, true);
      return bytes;
    });
    await expect(short.request('regionRead', READ)).rejects.toThrow('answered regionRead with something else');
  });

  it('does not mind what nobody has asked for', async () => {
    const requests = connected((name, id) => {
      const unasked = encodeReply(id + 1, 'reset', {});
      const request = encodeRequest(id, 'dmaRead', { address: 0, count: 8 });
      return Buffer.concat([unasked, request, encodeReply(id, name as 'regionRead', READ, data)]);
    });
    expect((await requests.request('regionRead', READ)).data).toEqual(data);
  });

  it('rejects when the connection ends, and so do later ones', async () => {
    const requests = connected(() => 'end');
    const lost = new Promise<Error>((resolve) => {
      requests.onEnded = resolve;
    });
    await expect(requests.request('reset', {})).rejects.toThrow('reset was not answered: the server has closed');
    expect((await lost).message).toBe('vfio-user: the server has closed the connection');
    await expect(requests.request('reset', {})).rejects.toThrow('reset was not sent: the server has closed');
    await expect(requests.post('reset', {})).rejects.toThrow(TransportError);
  });

  it('rejects when it is not answered in time, and so do all others', async () => {
    const requests = connected((name, id) => (name === 'reset' ? encodeReply(id, 'reset', {}) : undefined), 100);
    await requests.request('reset', {});
    const before = performance.now();
    const silent = ['regionRead was not answered', 'the server has not answered regionRead for 100 ms'].join(': ');
    await expect(requests.request('regionRead', READ)).rejects.toThrow(silent);
    expect(performance.now() - before).toBeGreaterThan(99);
    await expect(requests.request('reset', {})).rejects.toThrow('reset was not sent: the server has not answered');
  });

  it('is waited for as long as each is answered in time', async () => {
    const answer = (id: number): Uint8Array => encodeReply(id, 'reset', {});
    const [near, far] = UnixSocket.pair();
    const slow = new MessageSocket(far, {
      message: ({ header: { id } }) => void setTimeout(() => slow.send(answer(id)), 40),
      ended: () => {},
    });
    const requests = new RequestSocket(near, 100);
    for (let n = 0; n < 5; n++) await requests.request('reset', {});
    requests.close();
    slow.close();
  });

  it('rejects when no message can be made out any more', async () => {
    const requests = connected(() => new Uint8Array(16));
    await expect(requests.request('reset', {})).rejects.toThrow('sent a message that says to have 0 bytes');
  });
});

describe('a client', () => {
  /** Connects to a server that answers as ours does, but for what `script` has. */
  async function connectTo(script: (name: CommandName, id: number) => Uint8Array | undefined): Promise<VfioUserClient> {
    const rig = new VfioRig();
    cleanUp.push(() => rig.close());
    const path = `${rig.server.path}-liar`;
    const listener = UnixListener.listen(path);
    const poll = whenReadable(listener.fd, () => {
      // Hands on what it has no answer for.
      const honest = new RequestSocket(UnixSocket.connect(rig.server.path));
      cleanUp.push(() => honest.close());
      let messages: MessageSocket;
      const socket = listener.accept();
      messages = new MessageSocket(socket, {
        message: async ({ header: { id, code }, body, fds }) => {
          const { name, request } = commandsByCode.get(code)!;
          const answer = script(name, id);
          if (answer !== undefined) {
            messages.send(answer);
            return;
          }
          const fields = request.read(new DataView(body.buffer, body.byteOffset, body.length));
          const rest = body.slice(request.bytes);
          const reply = await honest.request(name, fields as never, { data: rest, fds });
          messages.send(encodeReply(id, name, reply.fields as Reply<CommandName>, reply.data));
        },
        ended: () => {},
      });
      cleanUp.push(() => messages.close());
    });
    cleanUp.push(() => {
      poll.close();
      listener.close();
    });
    return await VfioUserClient.connect(path);
  }

  it('connects to one that hands on what it is asked', async () => {
    const client = await connectTo(() => undefined);
    expect(await client.readConfig(0, 2)).toBe(0x1af4);
    client.close();
  });

  it('rejects a version that it does not speak, and a device that is not on PCI', async () => {
    await expect(
      connectTo((name, id) => (name === 'version' ? encodeReply(id, 'version', { major: 1, minor: 0 }) : undefined)),
    ).rejects.toThrow('speaks version 1');
    const info = { argsz: 16, flags: 1, regions: 9, interrupts: 5 };
    await expect(
      connectTo((name, id) => (name === 'deviceInfo' ? encodeReply(id, 'deviceInfo', info) : undefined)),
    ).rejects.toThrow('has no PCI device');
  });

  it('rejects what is no virtio function, and reads of another length', async () => {
    await expect(
      connectTo((name, id) =>
        name === 'regionRead' ? encodeReply(id, 'regionRead', READ, Uint8Array.of(0)) : undefined,
      ),
    ).rejects.toThrow(/bytes were read, and 1 came|no common/);
    let isLying = false;
    const client = await connectTo((name, id) => {
      return isLying && name === 'regionRead' ? encodeReply(id, 'regionRead', READ, new Uint8Array(3)) : undefined;
    });
    isLying = true;
    await expect(client.readConfig(0, 2)).rejects.toThrow('2 bytes were read, and 3 came');
    client.close();
  });

  it('rejects a function without virtio structures', async () => {
    const zeroes = (name: CommandName, id: number): Uint8Array | undefined =>
      name === 'regionRead' ? encodeReply(id, 'regionRead', READ, new Uint8Array(2)) : undefined;
    await expect(connectTo(zeroes)).rejects.toThrow(ProtocolError);
  });
});
