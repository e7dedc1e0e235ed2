import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LevelInterrupts } from '../../../../src/hosts/qtest/level-interrupts.ts';
import { enumeratePci } from '../../../../src/hosts/qtest/pci-bus.ts';
import { QtestSocket } from '../../../../src/hosts/qtest/qtest-socket.ts';
import { TransportError } from '../../../../src/spec/fault.ts';

/** Our end, and a QEMU whose answers are written here: `answer` is given each command. */
let qtest: QtestSocket;
let qemu: Socket;
let commands: string[];
let answer: (command: string) => string | undefined;
let end: () => Promise<void>;

beforeEach(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'virtio-qtest-unit-'));
  const server = createServer();
  await once(server.listen(join(folder, 'socket')), 'listening');
  const accepted = once(server, 'connection');
  qemu = connect(join(folder, 'socket'));
  qtest = new QtestSocket(((await accepted) as [Socket])[0]);
  commands = [];
  answer = () => 'OK 0x0000';
  let text = '';
  qemu.setEncoding('latin1').on('data', (more: string) => {
    const lines = (text + more).split('\n');
    text = lines.pop()!;
    for (const line of lines) {
      commands.push(line);
      const reply = answer(line);
      if (reply !== undefined) qemu.write(`${reply}\n`);
    }
  });
  end = async () => {
    await qtest.close();
    qemu.destroy();
    server.close();
    rmSync(folder, { recursive: true });
  };
});
afterEach(() => end());

describe('a qtest connection', () => {
  it('sends one line for each access, without waiting, and gives the answers to their askers', async () => {
    answer = (command) => (command.startsWith('out') || command.startsWith('write') ? 'OK' : `OK 0x${commands.length}`);
    const answers = await Promise.all([
      qtest.readPort(0xcfc, 2),
      qtest.writePort(0xcf8, 4, 0x8000_0000),
      qtest.readMemory(0xfeb0_0000, 4),
      qtest.writeMemory(0xe000_0001, 1, 0xff),
    ]);
    expect(commands).toEqual(['inw 0xcfc', 'outl 0xcf8 0x80000000', 'readl 0xfeb00000', 'writeb 0xe0000001 0xff']);
    expect(answers).toEqual([1, undefined, 3, undefined]);
  });

  it('tells of interrupt lines between the answers', async () => {
    const lines: [number, boolean][] = [];
    qtest.onInterruptLine = (line, asserted) => lines.push([line, asserted]);
    answer = () => 'IRQ raise 22\nOK 0x0\nIRQ lower 22';
    await qtest.readPort(0x80, 1);
    await expect
      .poll(() => lines)
      .toEqual([
        [22, true],
        [22, false],
      ]);
  });

  it('rejects what QEMU refuses, and goes on', async () => {
    answer = (command) => (command.startsWith('inb') ? 'FAIL Unknown command' : 'OK 0x7');
    await expect(qtest.readPort(1, 1)).rejects.toThrow(
      new TransportError('QEMU refused `inb 0x1`: FAIL Unknown command'),
    );
    expect(await qtest.readPort(1, 2)).toBe(7);
  });

  it.each(['OK', 'OK 7', 'OK 0x', 'OK 0xfffffffffffffffff', 'OK -1'])('takes %j for no number', async (reply) => {
    answer = () => reply;
    await expect(qtest.readPort(1, 1)).rejects.toThrow(/^QEMU answered ".*" to `inb 0x1`, which is no number$/);
  });

  it('that ends rejects what waits, and what comes later', async () => {
    answer = () => undefined;
    const waiting = [qtest.readPort(1, 1), qtest.writePort(2, 1, 3)].map((access) => access.catch((error) => error));
    await expect.poll(() => commands.length).toBe(2);
    qemu.destroy();
    for (const error of await Promise.all(waiting)) {
      expect(error).toBeInstanceOf(TransportError);
      expect(String(error)).toMatch(/` was not answered: QEMU has closed the connection$/);
    }
    await expect(qtest.readPort(1, 1)).rejects.toThrow(/^`inb 0x1` was not sent: QEMU has closed the connection$/);
  });

  it('ends at an answer to nothing', async () => {
    qemu.write('OK 0x5\n');
    await once(qemu, 'close');
    await expect(qtest.readPort(1, 1)).rejects.toThrow(/QEMU sent "OK 0x5", which answers nothing$/);
  });
});

describe('interrupt lines', () => {
  it('that stay high call all handlers again, until they are low', async () => {
    const interrupts = new LevelInterrupts(qtest);
    let calls = 0;
    const source = {
      onInterrupt: () => {
        if (++calls === 3) qemu.write('IRQ lower 4\n');
      },
    };
    interrupts.add(source);
    interrupts.add({ onInterrupt: undefined });
    qemu.write('IRQ raise 4\n');
    await expect.poll(() => calls).toBeGreaterThanOrEqual(3);
    await qtest.settled();
    await qtest.settled();
    const after = calls;
    await qtest.settled();
    expect(calls).toBe(after);
  });
});

describe('the PCI bus', () => {
  /** A configuration space of one function in slot 3 by register; BARs keep the bits of their masks. */
  function bus(bars: readonly { type: number; mask: number }[]): Map<number, number> {
    const space = new Map<number, number>([[0, 0x1042_1af4]]);
    let selected = 0;
    answer = (command) => {
      const [verb, port, value] = command.split(' ') as [string, string, string | undefined];
      if (verb === 'outl' && port === '0xcf8') selected = Number(value);
      const register = selected & 0xfc;
      const here = ((selected >>> 11) & 31) === 3;
      const bar = bars[(register - 0x10) / 4];
      if (verb === 'outl' && port === '0xcfc' && bar !== undefined) {
        space.set(register, ((Number(value) & bar.mask) | bar.type) >>> 0);
      }
      if (!verb.startsWith('in')) return 'OK';
      const word = here ? (space.get(register) ?? bar?.type ?? 0) : 0xffff_ffff;
      const shifted = word >>> (8 * (Number(port) & 3));
      return `OK 0x${(verb === 'inw' ? shifted & 0xffff : shifted).toString(16)}`;
    };
    return space;
  }

  it('gives each BAR an address of its own, aligned to its size', async () => {
    const space = bus([
      { type: 1, mask: 0xffff_ff80 },
      { type: 0, mask: 0xffff_f000 },
      { type: 0, mask: 0 },
      { type: 0, mask: 0 },
      { type: 0xc, mask: 0xffff_c000 },
      { type: 0, mask: 0xffff_ffff },
    ]);
    const found = await enumeratePci(qtest);
    expect(found.map(({ slot, vendor, device }) => ({ slot, vendor, device }))).toEqual([
      { slot: 3, vendor: 0x1af4, device: 0x1042 },
    ]);
    expect([0, 1, 4, 5].map((bar) => space.get(0x10 + 4 * bar))).toEqual([0xc001, 0xe000_0000, 0xe000_400c, 0]);
    commands.length = 0;
    await found[0]!.readBar(0, 4, 1);
    await found[0]!.writeBar(4, 8, 2, 9);
    expect(commands).toEqual(['inb 0xc004', 'writew 0xe0004008 0x9']);
    await expect(found[0]!.readBar(2, 0, 1)).rejects.toThrow('the PCI function in slot 3 has no BAR 2');
  });

  it('says when there is no room', async () => {
    bus([{ type: 0, mask: 0xe000_0000 }]);
    await expect(enumeratePci(qtest)).rejects.toThrow(/^there is no room for a BAR of 536870912 bytes/);
  });
});
