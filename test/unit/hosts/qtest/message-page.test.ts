import { expect, it } from 'vitest';
import { MessagePage } from '../../../../src/hosts/qtest/message-page.ts';
import { GuestMemory } from '../../../../src/memory/guest-memory.ts';

it('a message is found in its page, once for each time that it was written', async () => {
  const memory = GuestMemory.over(new Uint8Array(0x4000).fill(0xff));
  const page = new MessagePage(memory, 0x1000);
  const arrived: number[] = [];
  try {
    const messages = [7, 7, 3].map((vector, n) => page.messageFor(vector, () => arrived.push(n)));
    expect(messages.map(({ address }) => address)).toEqual([0x1000, 0x1004, 0x1008]);
    const { view } = memory.regions[0]!;
    const write = (n: number): void => view.setUint32(messages[n]!.address, messages[n]!.data, true);
    write(1);
    await expect.poll(() => arrived).toEqual([1]);
    write(2);
    write(0);
    await expect.poll(() => arrived).toEqual([1, 0, 2]);
    write(1);
    await expect.poll(() => arrived).toEqual([1, 0, 2, 1]);
  } finally {
    page.close();
  }
});

it('a page that is not in memory, or is none, is refused; so is a message too many', () => {
  const memory = GuestMemory.over(new Uint8Array(0x4000));
  for (const address of [0x4000, 0x3800, 4, -4096]) expect(() => new MessagePage(memory, address)).toThrow(RangeError);
  const page = new MessagePage(memory, 0);
  for (let n = 0; n < 1024; n++) page.messageFor(n, () => {});
  expect(() => page.messageFor(0, () => {})).toThrow(/no room for another message/);
  page.close();
});
