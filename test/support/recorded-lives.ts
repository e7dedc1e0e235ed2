/** Lives of our consoles and entropy devices with our drivers, recorded. */
import { ConsoleDevice } from '../../src/devices/console/device.ts';
import { ConsoleDriver } from '../../src/devices/console/driver.ts';
import { ConsoleConfig } from '../../src/devices/console/layout.ts';
import { EntropyDevice } from '../../src/devices/entropy/device.ts';
import { EntropyDriver } from '../../src/devices/entropy/driver.ts';
import type { TraceTransport } from '../../src/monitor/trace.ts';
import { recordType } from './recorded-rig.ts';

const text = new TextEncoder().encode('a line of text\n');

/** Is written to in an emergency, prints, is typed at, resized and suspended. */
export async function liveConsole(way: TraceTransport, offer: readonly number[]): Promise<readonly string[]> {
  const type = new ConsoleDevice({ output: () => undefined });
  const { transport, allocator, lines } = await recordType(way, () => type, { offer });
  const driver = new ConsoleDriver(transport, allocator, { queueSize: 8, receiveBuffers: 4 });
  await driver.initialize();
  await driver.driver.reset();
  await transport.writeConfig(ConsoleConfig.EMERG_WR, 4, text[0]!);
  await transport.readStatus();
  await driver.initialize();
  for (let round = 0; round < 3; round++) {
    for (let n = 0; n < 12; n++) {
      await driver.write(text);
      type.input(text);
    }
    type.resize({ rows: 10 + round, columns: 80 });
    await driver.suspend();
    type.input(text);
    await driver.resume();
  }
  await driver.driver.reset();
  return lines;
}

/** Is suspended, moved to another device and resumed. */
export async function liveEntropy(way: TraceTransport, offer: readonly number[]): Promise<readonly string[]> {
  const { transport, allocator, lines, move } = await recordType(way, () => new EntropyDevice(), { offer });
  const driver = new EntropyDriver(transport, allocator, { queueSize: 8 });
  await driver.initialize();
  for (let round = 0; round < 3; round++) {
    const reads = Array.from({ length: 12 }, (_, n) => driver.read(1 + 100 * n));
    await driver.suspend();
    move();
    await Promise.all([...reads, driver.resume()]);
  }
  await driver.driver.reset();
  return lines;
}
