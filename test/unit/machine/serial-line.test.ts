import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SerialLine } from '../../../src/machine/serial-line.ts';
import { StateError, TransportError } from '../../../src/spec/fault.ts';

let sent: number[];
let line: SerialLine;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  sent = [];
  line = new SerialLine((bytes) => sent.push(...bytes));
});
afterEach(() => vi.useRealTimers());

/** Text from the guest, in one slice of its time. */
async function receive(text: string): Promise<void> {
  for (const byte of Buffer.from(text)) line.receive(byte);
  await Promise.resolve();
}

describe('a serial line', () => {
  it('sends text as UTF-8, and bytes as they are', () => {
    line.send('é\n');
    line.send(Uint8Array.of(0, 255));
    expect(sent).toEqual([0xc3, 0xa9, 10, 0, 255]);
  });

  it('hands a slice of bytes to its listeners at once, until they go', async () => {
    const chunks: string[] = [];
    const stop = line.onData((bytes) => chunks.push(Buffer.from(bytes).toString()));
    await receive('one');
    await receive('two');
    stop();
    await receive('three');
    expect(chunks).toEqual(['one', 'two']);
  });

  it('waits for text that came already, or comes later in pieces', async () => {
    await receive('login: ');
    expect(await line.waitFor('login:')).toBe('login:');
    const ready = line.waitFor(/ready, (\w+)\n/);
    await receive('rea');
    await receive('dy, Linux\n');
    expect(await ready).toBe('ready, Linux\n');
  });

  it('shows the same text to one waiter only, and what follows to the next', async () => {
    const both = Promise.all([line.waitFor(/\d/), line.waitFor(/\d/)]);
    await receive('a1b2');
    expect(await both).toEqual(['1', '2']);
  });

  it('joins a character whose bytes come apart', async () => {
    const arrow = line.waitFor('→');
    line.receive(0xe2);
    await Promise.resolve();
    line.receive(0x86);
    line.receive(0x92);
    expect(await arrow).toBe('→');
  });

  it('gives up in time, and says what came instead', async () => {
    const waiting = line.waitFor('ready', { timeoutMs: 1000 });
    const refused = expect(waiting).rejects.toThrow(
      new TransportError('the guest did not send ready within 1000 ms; it sent:\n  Kernel panic'),
    );
    await receive('Kernel panic\n');
    vi.advanceTimersByTime(1000);
    await refused;
    await receive('ready');
    expect(await line.waitFor('ready')).toBe('ready');
  });

  it('keeps a bounded part of what nobody waits for', async () => {
    await receive('early ');
    for (let n = 0; n < 40; n++) await receive('x'.repeat(10_000));
    const early = line.waitFor('early', { timeoutMs: 1 });
    vi.advanceTimersByTime(1);
    await expect(early).rejects.toBeInstanceOf(TransportError);
  });

  it('that is closed lets nobody wait', async () => {
    const waiting = line.waitFor('ready');
    line.close('the machine was destroyed');
    await expect(waiting).rejects.toThrow(new StateError('the machine was destroyed'));
  });
});
