import { describe, expect, it } from 'vitest';
import { ConfigSpace } from '../../../src/device/config-space.ts';

/** A space, the values of its device type, and the state of its device. */
class Rig {
  /** What the device type says. */
  source: number[];
  frozen = false;
  live = true;
  held = false;
  told = 0;
  readonly space: ConfigSpace;

  constructor(source: number[]) {
    this.source = source;
    this.space = new ConfigSpace(() => Uint8Array.from(this.source), {
      frozen: () => this.frozen,
      live: () => this.live,
      held: () => this.held,
      notify: () => {
        this.told++;
      },
    });
  }
}

function makeRig(...source: number[]): Rig {
  return new Rig(source);
}

/** As a driver reads: until the generation was the same before and after. The value, and how often it was read. */
function readSettled({ space }: Rig, width = 4): { value: number; reads: number } {
  for (let reads = 1; ; reads++) {
    const before = space.generation;
    const value = space.read(0, width);
    if (space.generation === before) return { value, reads };
  }
}

describe('a read', () => {
  it('is little-endian, and 0 beyond the end', () => {
    const { space } = makeRig(1, 2, 3, 4);
    expect(space.read(0, 4)).toBe(0x04030201);
    expect(space.read(1, 2)).toBe(0x0302);
    expect(space.read(3, 4)).toBe(4);
    expect(space.read(100, 1)).toBe(0);
    expect(makeRig(0xff, 0xff, 0xff, 0xff).space.read(0, 4)).toBe(0xffff_ffff);
  });

  it('that begins after a change is over at once', () => {
    const rig = makeRig(1, 0, 0, 0);
    readSettled(rig);
    rig.source = [2, 0, 0, 0];
    rig.space.changed();
    expect(readSettled(rig)).toEqual({ value: 2, reads: 1 });
  });

  it('around a change shows another generation afterwards, whatever the number of changes', () => {
    for (const changes of [1, 2, 255, 256, 257, 65_536]) {
      const rig = makeRig(1, 0, 0, 0);
      const before = rig.space.generation;
      rig.space.read(0, 1);
      for (let n = 0; n < changes; n++) rig.space.changed();
      rig.space.read(1, 1);
      expect(rig.space.generation & 0xff).not.toBe(before & 0xff);
    }
  });
});

it('a space that was just made has nothing to tell, and its driver finds nothing changed', () => {
  const rig = makeRig(1, 2);
  rig.space.settle();
  expect(rig.told).toBe(0);
  const nothing = { changedSinceRead: false, changeHeld: false, notificationOwed: false };
  expect(rig.space.save()).toEqual({ bytes: [1, 2], generation: 0, ...nothing });
  expect(rig.space.generation).toBe(0);
});

describe('the bytes of a device type', () => {
  it('are copied each time that they are shown: what becomes of them meanwhile is not seen', () => {
    const bytes = Uint8Array.of(1, 0, 0, 0);
    const hooks = { frozen: () => false, live: () => true, held: () => false, notify: () => {} };
    const space = new ConfigSpace(() => bytes, hooks);
    const shown: number[] = [];
    const look = (next: number): void => {
      bytes[0] = next;
      shown.push(space.read(0, 4));
    };
    look(2);
    space.changed();
    look(3);
    space.refresh();
    look(4);
    expect(shown).toEqual([1, 2, 3]);
  });
});

describe('a change', () => {
  it('is shown and told at once to a driver that is there', () => {
    const rig = makeRig(1, 0, 0, 0);
    rig.source = [5, 0, 0, 0];
    rig.space.changed();
    expect([rig.space.read(0, 4), rig.told]).toEqual([5, 1]);
  });

  it('is shown, and not told, before DRIVER_OK', () => {
    const rig = makeRig(1, 0, 0, 0);
    rig.live = false;
    rig.source = [5, 0, 0, 0];
    rig.space.changed();
    expect([rig.space.read(0, 4), rig.told]).toEqual([5, 0]);
    rig.space.settle();
    expect(rig.told).toBe(0);
  });

  it('while frozen is shown and told once when it is settled, and leaves the generation alone until then', () => {
    const rig = makeRig(1, 0, 0, 0);
    rig.source = [3, 0, 0, 0];
    rig.space.changed();
    rig.frozen = true;
    const { generation } = rig.space;
    rig.source = [5, 0, 0, 0];
    rig.space.changed();
    rig.space.changed();
    expect(readSettled(rig)).toEqual({ value: 3, reads: 1 });
    expect(rig.space.generation).toBe(generation);
    expect(rig.told).toBe(1);
    rig.frozen = false;
    rig.space.settle();
    rig.space.settle();
    expect(readSettled(rig).value).toBe(5);
    expect(rig.space.generation).not.toBe(generation);
    expect(rig.told).toBe(2);
  });

  it('is forgotten by a reset, with the notification that was owed', () => {
    const rig = makeRig(1, 0, 0, 0);
    rig.frozen = true;
    rig.source = [5, 0, 0, 0];
    rig.space.changed();
    rig.space.reset();
    rig.frozen = false;
    rig.space.settle();
    expect([rig.space.read(0, 4), rig.told]).toEqual([5, 0]);
  });

  it('that a driver’s own write uncovers counts as one', () => {
    const rig = makeRig(1, 0, 0, 0);
    readSettled(rig);
    rig.frozen = true;
    rig.source = [1, 1, 0, 0];
    rig.space.changed();
    const before = rig.space.generation;
    rig.space.read(0, 1);
    rig.space.refresh();
    rig.space.read(1, 1);
    expect(rig.space.generation).not.toBe(before);
  });

  it('of the driver’s own is shown without another generation', () => {
    const rig = makeRig(1, 0, 0, 0);
    const { generation } = rig.space;
    rig.source = [9, 0, 0, 0];
    rig.space.refresh();
    expect([rig.space.read(0, 4), rig.space.generation]).toEqual([9, generation]);
  });
});

describe('a notification', () => {
  it('is not owed to a driver that has not set DRIVER_OK, though the host holds the device', () => {
    const rig = makeRig(1);
    rig.live = false;
    rig.held = true;
    rig.space.owe();
    rig.live = true;
    rig.held = false;
    rig.space.settle();
    expect([rig.space.notificationOwed, rig.told]).toEqual([false, 0]);
  });

  it('that is owed is forgotten by a reset', () => {
    const rig = makeRig(1);
    rig.held = true;
    rig.space.owe();
    rig.space.reset();
    rig.held = false;
    rig.space.settle();
    expect(rig.told).toBe(0);
  });

  it('that is owed while the host holds the device goes out when it lets go, once', () => {
    const rig = makeRig(1);
    rig.held = true;
    rig.space.owe();
    rig.space.owe();
    expect(rig.told).toBe(0);
    rig.held = false;
    rig.space.settle();
    rig.space.settle();
    expect(rig.told).toBe(1);
  });
});

describe('saved and restored', () => {
  it('it is what it was, though the source says something else: that is a held change', () => {
    const rig = makeRig(1, 0, 0, 0);
    rig.source = [2, 0, 0, 0];
    rig.space.changed();
    const saved = JSON.parse(JSON.stringify(rig.space.save())) as ReturnType<ConfigSpace['save']>;
    expect(rig.space.save()).toEqual(saved);
    const next = makeRig(7, 0, 0, 0);
    next.frozen = true;
    next.space.restore(saved);
    expect(next.space.changeHeld).toBe(true);
    expect(readSettled(next).value).toBe(2);
    next.frozen = false;
    next.space.settle();
    expect([readSettled(next).value, next.told]).toEqual([7, 1]);
  });

  it('a change that was held stays so, also where the values are those of before', () => {
    const rig = makeRig(1, 0, 0, 0);
    rig.frozen = true;
    rig.space.changed();
    const next = makeRig(1, 0, 0, 0);
    next.space.restore(rig.space.save());
    next.space.settle();
    next.space.settle();
    expect(next.told).toBe(1);
  });

  it('a notification that was owed goes out, and nothing does where none was', () => {
    for (const owed of [true, false]) {
      const rig = makeRig(1, 0, 0, 0);
      rig.held = owed;
      rig.space.owe();
      const next = makeRig(1, 0, 0, 0);
      next.space.restore(rig.space.save());
      next.space.settle();
      expect(next.told).toBe(owed ? 1 : 0);
    }
  });

  it('a driver that had read a part before the change notices it elsewhere', () => {
    const rig = makeRig(1, 1, 0, 0);
    const before = rig.space.generation;
    rig.space.read(0, 1);
    rig.source = [2, 2, 0, 0];
    rig.space.changed();
    const next = makeRig(2, 2, 0, 0);
    next.space.restore(rig.space.save());
    next.space.read(1, 1);
    expect(next.space.generation).not.toBe(before);
  });
});
