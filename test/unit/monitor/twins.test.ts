/** A device and a driver with one fault each: the judge names the rule that it breaks, and no other. */
import { describe, expect, it } from 'vitest';
import { GuestMemory } from '../../../src/memory/guest-memory.ts';
import { levelIn } from '../../../src/monitor/rule.ts';
import { rules } from '../../../src/monitor/rules.ts';
import { Recorder, TraceLines } from '../../../src/record/recorder.ts';
import { RingWatch } from '../../../src/record/ring-watch.ts';
import { recordedTransport } from '../../../src/record/transports.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { judgeLines } from '../../support/recorded-rig.ts';
import { type DeviceFault, TwinDevice } from '../../support/twin-device.ts';
import { type DriverFault, GivenUp, TwinDriver } from '../../support/twin-driver.ts';
import { ruleOfDeviceFault, ruleOfDriverFault } from '../../support/twin-faults.ts';

/** The rules that a life of these two breaks. */
async function broken(deviceFault?: DeviceFault, driverFault?: DriverFault): Promise<string[]> {
  const memory = GuestMemory.over(new Uint8Array(0x4000));
  const trace = new TraceLines();
  const clock = new FakeClock();
  const device = new TwinDevice(memory, deviceFault);
  const recorder = new Recorder({ transport: 'direct', device: device.deviceId }, trace, clock);
  const watch = new RingWatch(recorder, memory, {
    queues: () => (device.layout === undefined ? [] : [{ index: 0, layout: device.layout }]),
    isPacked: () => false,
  });
  recorder.look = () => watch.look();
  device.tell = (event) => recorder.event(event);
  const driver = new TwinDriver(recordedTransport(recorder, device), device, memory, driverFault);
  driver.onResumed = () => clock.advance(1000);
  await driver.live().catch((error: unknown) => {
    if (!(error instanceof GivenUp)) throw error;
  });
  const verdicts = [...judgeLines(trace.lines).values()];
  return verdicts.filter(({ result }) => result === 'fail').map(({ rule }) => rule.id);
}

describe('twins', () => {
  it('without a fault keep every rule', async () => {
    expect(await broken()).toEqual([]);
  });

  /** Some faults show only when the driver has one, too, which is named as well. */
  const provokedBy: Readonly<Record<string, readonly [DriverFault, string]>> = {
    'shows SUSPEND before DRIVER_OK': ['suspends before DRIVER_OK', 'suspend.driver.1'],
    'takes configuration writes at rest': ['writes configuration while suspended', 'suspend.driver.5'],
    'suspends without negotiation': ['suspends without negotiation', 'suspend.driver.1'],
  };
  it.each(Object.entries(ruleOfDeviceFault) as [DeviceFault, string][])(
    'a device that %s breaks %s',
    async (fault, rule) => {
      const [driverFault, alongside = rule] = provokedBy[fault] ?? [];
      expect(new Set(await broken(fault, driverFault))).toEqual(new Set([rule, alongside]));
    },
  );

  it('break every rule of the suspend section', () => {
    const named = new Set([...Object.values(ruleOfDeviceFault), ...Object.values(ruleOfDriverFault)]);
    const judged = rules.filter((rule) => levelIn(rule, '1.4') !== undefined);
    const ofSuspend = judged.map(({ id }) => id).filter((id) => id.startsWith('suspend.'));
    expect(ofSuspend.filter((id) => !named.has(id))).toEqual([]);
  });

  it.each(Object.entries(ruleOfDriverFault) as [DriverFault, string][])(
    'a driver that %s breaks %s',
    async (fault, rule) => {
      expect(await broken(undefined, fault)).toEqual([rule]);
    },
  );
});
