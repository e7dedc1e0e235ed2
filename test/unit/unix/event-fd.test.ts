import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EventFd } from '../../../src/unix/event-fd.ts';
import { closeFd, memfd } from '../../../src/unix/file-descriptor.ts';
import { libc } from '../../../src/unix/libc.ts';
import { Poller, whenReadable } from '../../../src/unix/poller.ts';
import { UnixSocket } from '../../../src/unix/socket.ts';
import { openFds } from './open-fds.ts';

let fdsBefore: number;
beforeEach(() => {
  fdsBefore = openFds();
});
afterEach(() => expect(openFds()).toBe(fdsBefore));

describe('an eventfd', () => {
  it('is taken once, however often it was signalled', () => {
    const event = EventFd.create();
    expect(event.take()).toBe(false);
    event.signal();
    event.signal();
    expect(event.take()).toBe(true);
    expect(event.take()).toBe(false);
    event.close();
    event.close();
  });

  it('never blocks, though the other side has made it blocking', () => {
    const event = EventFd.from(libc().eventfd(0, 0));
    expect(event.take()).toBe(false);
    event.signal();
    expect(event.take()).toBe(true);
    // Full: no counter has room for more.
    expect(libc().write(event.fd, new Uint8Array(8).fill(0xff).fill(0xfe, 0, 1), 8)).toBe(8);
    event.signal();
    expect(event.take()).toBe(true);
    event.close();
  });

  it('is made of nothing else', () => {
    const file = memfd(4096);
    expect(() => EventFd.from(file)).toThrow(/is no eventfd but "\/memfd:virtio/);
    closeFd(file);
    expect(() => EventFd.from(file)).toThrow(/is no eventfd but ""/);
  });
});

describe('a poller', () => {
  it('returns the tags of what happened, and nothing when nothing did', () => {
    const poller = new Poller();
    const [first, second] = [EventFd.create(), EventFd.create()];
    poller.add(first.fd, 1);
    poller.add(second.fd, 0xffff_ffff);
    expect(poller.wait(0)).toEqual([]);
    second.signal();
    expect(poller.wait(-1)).toEqual([0xffff_ffff]);
    expect(poller.wait(-1)).toEqual([0xffff_ffff]);
    second.take();
    expect(poller.wait(0)).toEqual([]);
    poller.remove(first.fd);
    first.signal();
    expect(poller.wait(0)).toEqual([]);
    poller.close();
    first.close();
    second.close();
  });

  it('tells an edge once for each signal, without its being taken', () => {
    const poller = new Poller();
    const event = EventFd.create();
    poller.add(event.fd, 7, { edge: true });
    event.signal();
    expect(poller.wait(0)).toEqual([7]);
    expect(poller.wait(0)).toEqual([]);
    event.signal();
    expect(poller.wait(0)).toEqual([7]);
    poller.close();
    event.close();
  });

  it('sees that the other end of a connection is gone', () => {
    const poller = new Poller();
    const [near, far] = UnixSocket.pair();
    poller.add(near.fd, 3);
    expect(poller.wait(0)).toEqual([]);
    far.close();
    expect(poller.wait(0)).toEqual([3]);
    near.close();
    poller.close();
  });

  it('refuses a descriptor that is not open', () => {
    const poller = new Poller();
    expect(() => poller.add(1_000_000, 1)).toThrow('epoll_ctl: adding descriptor 1000000: EBADF');
    poller.close();
  });
});

describe('whenReadable', () => {
  it('says that a poller has something, too', async () => {
    const poller = new Poller();
    const event = EventFd.create();
    poller.add(event.fd, 5, { edge: true });
    await new Promise<void>((resolve) => {
      const watch = whenReadable(poller.fd, () => {
        expect(poller.wait(0)).toEqual([5]);
        watch.close();
        resolve();
      });
      event.signal();
    });
    poller.close();
    event.close();
  });

  it('calls back on the event loop until it is closed', async () => {
    const event = EventFd.create();
    let told = (): void => {};
    let calls = 0;
    const watch = whenReadable(event.fd, () => {
      calls++;
      event.take();
      told();
    });
    for (let n = 1; n <= 2; n++) {
      const next = new Promise<void>((resolve) => {
        told = resolve;
      });
      event.signal();
      await next;
      expect(calls).toBe(n);
    }
    watch.close();
    event.signal();
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    expect(calls).toBe(2);
    event.close();
  });
});
