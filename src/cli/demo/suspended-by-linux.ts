import { setTimeout } from 'node:timers/promises';
import { Feature, hasFeature } from '../../spec/features.ts';
import { RUNNING_STATUS, Status } from '../../spec/status.ts';
import { type BusyGuest, LIMIT_MS } from './busy-guest.ts';
import { elapsedMs } from './elapsed.ts';
import type { ResumeReport, SleepReport, SuspendReport } from './guest-report.ts';
import type { Scenario } from './scenario.ts';

const CYCLES = 20;
const DEVICE = '/sys/bus/virtio/devices/virtio0';
const SUSPENDING_STATUS = RUNNING_STATUS | Status.SUSPEND;
const SUSPENDED_STATUS = (RUNNING_STATUS & ~Status.DRIVER_OK) | Status.SUSPEND;
/** Linux would wait for its requests before it suspends a disk. Here it is the device that has to finish them. */
const LEAVE_IN_FLIGHT = 'echo 1 >/sys/module/virtio_blk/parameters/leave_in_flight';
/** How long a guest is left asleep: the processor rests a moment after its last device. */
const ASLEEP_MS = 1500;
/** A byte that comes before Linux sleeps may not wake it up. */
const WAKE_AGAIN_MS = 2000;

/** Linux suspends the disk by its driver (VIRTIO_F_SUSPEND); the machine is saved while it is suspended. */
export const suspendedByLinux: Scenario<'suspend'> = {
  drivers: 'virtio-suspend',

  async rest(guest): Promise<SuspendReport> {
    await guest.run(LEAVE_IN_FLIGHT);
    for (let cycle = 1; cycle <= CYCLES; cycle++) {
      guest.progress(`Linux suspends its disk under load: ${cycle} of ${CYCLES} cycles`);
      await suspend(guest);
      await guest.run(`echo 0 >${DEVICE}/suspend`);
    }
    guest.progress('Linux suspends its disk to be saved');
    await suspend(guest);
    return seen(guest);
  },

  async goOn(guest): Promise<ResumeReport> {
    guest.progress('Linux resumes its disk');
    await guest.run(`echo 0 >${DEVICE}/suspend`);
    const statuses = [...guest.watch.statuses];
    const sleep = await sleepAndWake(guest);
    return { ...seen(guest), statuses, sleep, counted: await counted(guest) };
  },
};

/** The disk keeps what it has until the driver has asked its device to suspend: that has to wait for it. */
async function suspend(guest: BusyGuest): Promise<void> {
  const { disk, watch } = guest;
  disk.hold();
  await guest.requestInFlight();
  const asked = watch.next(SUSPENDING_STATUS);
  const suspending = guest.run(`echo 1 >${DEVICE}/suspend && [ $(cat ${DEVICE}/suspend) = 1 ]`);
  await Promise.race([asked, suspending]);
  disk.release();
  await suspending;
}

function seen({ device, watch }: BusyGuest): SuspendReport {
  const { cycles, statuses, drainsUs, mostInFlight } = watch;
  const negotiated = hasFeature(device.accepted, Feature.SUSPEND);
  return { negotiated, cycles, statuses: [...statuses], drainsUs, mostInFlight };
}

/** The guest sleeps (suspend-to-idle), for which Linux suspends all devices, until it gets a byte on its console. */
async function sleepAndWake({ computer: { machine }, watch, progress }: BusyGuest): Promise<SleepReport> {
  progress('Linux goes to sleep');
  const started = performance.now();
  const suspended = watch.next(SUSPENDED_STATUS);
  let awake = false;
  const command = machine.command('echo freeze >/sys/power/state', { timeoutMs: LIMIT_MS }).finally(() => {
    awake = true;
  });
  await Promise.race([suspended, command]);
  const suspendMs = elapsedMs(started);
  progress('Linux sleeps');
  await setTimeout(ASLEEP_MS);
  const resumed = watch.next(RUNNING_STATUS);
  const waking = performance.now();
  const wake = (): void => {
    if (!awake) machine.serial.send('\n');
  };
  const again = setInterval(wake, WAKE_AGAIN_MS);
  wake();
  try {
    await Promise.race([resumed, command]);
    const wakeMs = elapsedMs(waking);
    const { output, exitCode } = await command;
    if (exitCode !== 0) throw new Error(`the guest could not sleep: ${output}`);
    return { suspendMs, asleepMs: ASLEEP_MS, wakeMs, statuses: [...watch.statuses] };
  } finally {
    clearInterval(again);
  }
}

async function counted(guest: BusyGuest): Promise<ResumeReport['counted']> {
  const lines = (await guest.run(`cat ${DEVICE}/suspend_stats`)).split('\n').map((line) => line.split(' '));
  const of = (name: string): number => Number(lines.find(([found]) => found === name)?.[1] ?? Number.NaN);
  return { cycles: of('cycles'), failures: of('failures'), resets: of('resets') };
}
