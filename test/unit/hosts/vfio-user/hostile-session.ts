import { afterEach, beforeEach, expect } from 'vitest';
import {
  type CommandName,
  commands,
  encodeRequest,
  MessageFlag,
  type Request,
} from '../../../../src/hosts/vfio-user/messages.ts';
import { openFds } from '../../unix/open-fds.ts';
import { type RawClient, type RawReply, VfioRig } from './vfio-rig.ts';

export const EINVAL = 22;

export interface Sent {
  readonly data?: Uint8Array;
  readonly fds?: readonly number[];
  readonly from?: RawClient;
}

/** Before each test of a file: a server and a client that has said its version. After it: no descriptor is left open. */
export function hostileSession(): HostileSession {
  const session = new HostileSession();
  let fdsBefore = 0;
  beforeEach(async () => {
    fdsBefore = openFds();
    session.rig = new VfioRig();
    session.client = session.rig.connect();
    expect((await session.ask('version', { major: 0, minor: 1 })).header.flags).toBe(MessageFlag.REPLY);
  });
  afterEach(async () => {
    await session.rig.close();
    expect(openFds()).toBe(fdsBefore);
  });
  return session;
}

export class HostileSession {
  rig!: VfioRig;
  client!: RawClient;
  #ids = 0;

  async ask<Name extends CommandName>(
    name: Name,
    fields: Request<Name>,
    { data, fds = [], from = this.client }: Sent = {},
  ): Promise<RawReply> {
    const id = this.#ids++ & 0xffff;
    const bytes = encodeRequest(id, name, fields, data === undefined ? {} : { data });
    expect(from.send(bytes, fds)).toBe(bytes.length);
    const reply = (await from.reply())!;
    expect(reply.header).toMatchObject({ id, code: commands[name].code });
    return reply;
  }

  /** The error that a request is answered with; 0 for none. */
  async errorOf<Name extends CommandName>(name: Name, fields: Request<Name>, sent?: Sent): Promise<number> {
    const { header: head, body } = await this.ask(name, fields, sent);
    expect(body.length === 0 || head.error === 0).toBe(true);
    return head.error;
  }

  /** Sends bytes and expects the connection to be ended for them, and the next client to be served. */
  async expectEnd(bytes: Uint8Array, fds: readonly number[] = []): Promise<void> {
    this.client.send(bytes, fds);
    expect(await this.client.reply()).toBeUndefined();
    expect(this.rig.events.at(-1)).toMatchObject({ kind: 'disconnected', error: expect.any(Error) });
    const next = this.rig.connect();
    expect((await this.ask('version', { major: 0, minor: 0 }, { from: next })).header.error).toBe(0);
  }
}
