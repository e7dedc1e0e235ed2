import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { GuestCommands, readAnswer } from '../../../src/machine/guest-commands.ts';
import { SerialLine } from '../../../src/machine/serial-line.ts';
import { StateError, TransportError } from '../../../src/spec/fault.ts';

interface Request {
  readonly id: string;
  readonly command: string;
}

const RS = '\u001e';
let requests: Request[];
let line: SerialLine;
let commands: GuestCommands;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  requests = [];
  line = new SerialLine((bytes) => {
    const [id = '', text = ''] = Buffer.from(bytes).toString().trimEnd().split(' ');
    requests.push({ id, command: Buffer.from(text, 'base64').toString() });
  });
  commands = new GuestCommands(line);
});
afterEach(() => vi.useRealTimers());

/** What the guest sends, in pieces of `size` characters. */
async function receive(text: string, size = text.length): Promise<void> {
  for (let at = 0; at < text.length; at += size) {
    for (const byte of Buffer.from(text.slice(at, at + size))) line.receive(byte);
    await Promise.resolve();
  }
}

async function answer(request: Request, output: string, exitCode: number, size?: number): Promise<void> {
  await receive(`${RS}${request.id}+${RS}${output}${RS}${request.id}=${exitCode}${RS}`, size);
}

async function sent(count: number): Promise<Request> {
  await vi.waitFor(() => expect(requests.length).toBe(count));
  return requests[count - 1]!;
}

describe('a command in the guest', () => {
  it('returns its output, whatever is in it, and its exit code', async () => {
    const command = 'printf \'a b\'\necho "é"';
    for (const [n, size] of [undefined, 1, 7].entries()) {
      const result = commands.run(command);
      const request = await sent(n + 1);
      expect(request.command).toBe(command);
      await answer(request, `a ${RS}b${RS}0=1${RS}\n`, 3, size);
      expect(await result).toEqual({ output: `a ${RS}b${RS}0=1${RS}\n`, exitCode: 3 });
    }
  });

  it('is sent when the one before has ended', async () => {
    const results = Promise.all([commands.run('first'), commands.run('second')]);
    const first = await sent(1);
    await answer(first, '1', 0);
    await answer(await sent(2), '2', 0);
    expect((await results).map(({ output }) => output)).toEqual(['1', '2']);
    expect(requests.map(({ command }) => command)).toEqual(['first', 'second']);
  });

  it('that does not end in time is rejected with what it sent; the next one is not confused by its late end', async () => {
    const slow = commands.run('sleep 9', { timeoutMs: 1000 });
    const refused = expect(slow).rejects.toThrow(
      new TransportError('`sleep 9` did not end within 1000 ms; it sent:\nzzz'),
    );
    const first = await sent(1);
    await receive('zzz');
    vi.advanceTimersByTime(1000);
    await refused;
    const next = commands.run('true');
    const second = await sent(2);
    await receive(`late${RS}${first.id}=0${RS}`);
    await answer(second, 'own', 0);
    expect(await next).toEqual({ output: 'own', exitCode: 0 });
  });

  it('is rejected when the machine ends, as are those behind it', async () => {
    const all = [commands.run('first'), commands.run('second')];
    await sent(1);
    commands.close('the machine was destroyed');
    for (const one of all) await expect(one).rejects.toThrow(new StateError('the machine was destroyed'));
    expect(requests.length).toBe(1);
  });
});

describe('an answer', () => {
  it('is not complete before its last mark', () => {
    const whole = `${RS}ab+${RS}output${RS}ab=12${RS}`;
    for (let length = 0; length < whole.length; length++) {
      expect(readAnswer(whole.slice(0, length), 'ab')).toBeUndefined();
    }
    expect(readAnswer(whole, 'ab')).toEqual({ output: 'output', exitCode: 12 });
  });
});
