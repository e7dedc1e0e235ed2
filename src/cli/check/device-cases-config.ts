import { BlockConfig, BlockFeature } from '../../devices/block/layout.ts';
import { ConsoleConfig, ConsoleFeature } from '../../devices/console/layout.ts';
import { NetConfig, NetFeature } from '../../devices/net/layout.ts';
import type { AccessWidth } from '../../spec/access-width.ts';
import { expect } from './case-failed.ts';
import type { DeviceCase } from './device-case.ts';
import type { HandDriver } from './hand-driver.ts';
import type { WaitingKind } from './waiting-types.ts';

/** Fields of a configuration space, each read in one access of its own width. */
type Fields = readonly (readonly [offset: number, width: AccessWidth])[];

const BLOCK_FIELDS: Fields = [
  [BlockConfig.CAPACITY, 4],
  [BlockConfig.CAPACITY + 4, 4],
  [BlockConfig.SIZE_MAX, 4],
  [BlockConfig.SEG_MAX, 4],
  [BlockConfig.BLK_SIZE, 4],
  [BlockConfig.PHYSICAL_BLOCK_EXP, 1],
  [BlockConfig.ALIGNMENT_OFFSET, 1],
  [BlockConfig.MIN_IO_SIZE, 2],
  [BlockConfig.OPT_IO_SIZE, 4],
  [BlockConfig.WRITEBACK, 1],
];

/** Types with something in their configuration that is not the driver's to change. */
const CHANGING: readonly {
  readonly kind: WaitingKind;
  readonly what: string;
  readonly feature: number;
  readonly fields: Fields;
}[] = [
  {
    kind: 'console',
    what: 'its size',
    feature: ConsoleFeature.SIZE,
    fields: [
      [ConsoleConfig.COLS, 2],
      [ConsoleConfig.ROWS, 2],
    ],
  },
  {
    kind: 'network device',
    what: 'its link',
    feature: NetFeature.STATUS,
    fields: [
      [NetConfig.STATUS, 2],
      [NetConfig.MTU, 2],
    ],
  },
];

async function read({ transport }: HandDriver, fields: Fields): Promise<string> {
  const values: number[] = [];
  for (const [offset, width] of fields) values.push(await transport.readConfig(offset, width));
  return values.join();
}

/** Changes are neither shown nor told at rest; the driver is told once when the device runs, and sees the last of them. */
async function changesAtRest(driver: HandDriver, fields: Fields, change: () => void): Promise<void> {
  const { transport, registers } = driver;
  await driver.suspend();
  const before = await read(driver, fields);
  const generation = await transport.readConfigGeneration();
  const interrupts = driver.configInterrupts;
  change();
  await driver.stays(0x1b);
  expect((await read(driver, fields)) === before, 'the change shows at rest');
  expect((await transport.readConfigGeneration()) === generation, 'the generation changes at rest');
  expect(driver.configInterrupts === interrupts, 'the change is told at rest');
  const status = (await registers?.interruptStatus()) ?? 0;
  expect((status & 2) === 0, 'the interrupt status tells of the change at rest');
  await driver.resume();
  await driver.until('the notification of the change', () => driver.configInterrupts > interrupts);
  await driver.stays(0x0f);
  expect(driver.configInterrupts === interrupts + 1, 'the change is told more than once');
  expect((await read(driver, fields)) !== before, 'the change does not show');
  expect((await transport.readConfigGeneration()) !== generation, 'the generation is that of before');
}

async function writebackOf({ transport }: HandDriver): Promise<number> {
  return transport.readConfig(BlockConfig.WRITEBACK, 1);
}

/** The value of a field that the driver can write while the device runs. */
async function startWithWriteback(driver: HandDriver): Promise<number> {
  await driver.start({ accept: [BlockFeature.CONFIG_WCE, BlockFeature.FLUSH] });
  const before = await writebackOf(driver);
  for (const value of [before ^ 1, before]) {
    await driver.transport.writeConfig(BlockConfig.WRITEBACK, 1, value);
    expect((await writebackOf(driver)) === value, 'the field cannot be written while the device runs');
  }
  return before;
}

async function writeAtRest(driver: HandDriver, value: number): Promise<void> {
  await driver.suspend();
  await driver.transport.writeConfig(BlockConfig.WRITEBACK, 1, value);
}

/** The configuration space over a suspend. */
export const configuration: readonly DeviceCase[] = [
  {
    name: 'two resizes at rest are neither shown nor told before the resume, and told once then',
    requirements: ['suspend.device.5', 'suspend.device.6', 'suspend.device.7'],
    needs: ['changes'],
    run: async (driver, bench) => {
      await driver.start();
      await changesAtRest(driver, BLOCK_FIELDS, () => {
        bench.resize(72);
        bench.resize(80);
      });
      expect((await driver.transport.readConfig(BlockConfig.CAPACITY, 4)) === 80, 'the size is not the last one');
    },
  },
  ...CHANGING.map(
    ({ kind, what, feature, fields }): DeviceCase => ({
      name: `a change of the ${kind}, ${what}, at rest is neither shown nor told before the resume, and told once then`,
      requirements: ['suspend.device.5', 'suspend.device.6', 'suspend.device.7'],
      type: kind,
      needs: ['changes'],
      run: async (driver, bench) => {
        await driver.start({ accept: [feature] });
        await changesAtRest(driver, fields, () => bench.change());
      },
    }),
  ),
  {
    name: 'a change is not forgotten when the device is suspended again at once',
    requirements: ['suspend.device.7'],
    needs: ['changes'],
    run: async (driver, bench) => {
      await driver.start();
      await driver.suspend();
      const interrupts = driver.configInterrupts;
      bench.resize(32);
      await driver.resume();
      await driver.suspend();
      await driver.resume();
      await driver.until('the notification of the change', () => driver.configInterrupts > interrupts);
    },
  },
  {
    name: 'the configuration space reads the same at rest however often, within one generation',
    requirements: ['suspend.device.5'],
    run: async (driver) => {
      await driver.start();
      await driver.suspend();
      const first = await read(driver, BLOCK_FIELDS);
      for (let n = 0; n < 10; n++) {
        const generation = await driver.transport.readConfigGeneration();
        expect((await read(driver, BLOCK_FIELDS)) === first, 'a field changes at rest');
        expect((await driver.transport.readConfigGeneration()) === generation, 'the generation changes at rest');
      }
      await driver.resume();
    },
  },
  {
    name: 'a write of the field writeback at rest has no effect, then and after the resume',
    requirements: ['suspend.device.2'],
    features: [BlockFeature.CONFIG_WCE],
    run: async (driver) => {
      const before = await startWithWriteback(driver);
      await writeAtRest(driver, before ^ 1);
      expect((await writebackOf(driver)) === before, 'the field has changed at rest');
      await driver.resume();
      expect((await writebackOf(driver)) === before, 'the field has changed after the resume');
    },
  },
  {
    name: 'a write of the field writeback at rest does not come out with a later change of the configuration',
    requirements: ['suspend.device.2'],
    features: [BlockFeature.CONFIG_WCE],
    needs: ['changes'],
    run: async (driver, bench) => {
      const before = await startWithWriteback(driver);
      await writeAtRest(driver, before ^ 1);
      await driver.resume();
      const interrupts = driver.configInterrupts;
      bench.resize(72);
      await driver.until('the notification of the change', () => driver.configInterrupts > interrupts);
      expect((await driver.transport.readConfig(BlockConfig.CAPACITY, 4)) === 72, 'the new size does not show');
      expect((await writebackOf(driver)) === before, 'the field has changed with the size');
    },
  },
];
