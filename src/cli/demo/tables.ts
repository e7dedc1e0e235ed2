import { makeTable } from '../table.ts';
import type { GuestReport, LinuxReport, MovedReport, RestoreReport, WriteReport } from './guest-report.ts';
import type { LoopbackReport } from './loopback-report.ts';

export function guestTable(report: GuestReport): string {
  const { write } = report;
  const table = makeTable(['guest', write.version]);
  table.push(
    [
      'paused',
      `in ${write.pauseMs} ms, with ${write.inFlight} requests in flight, after ${write.filesBefore} files; device status ${write.deviceStatus}`,
    ],
    ...movedRows(report),
  );
  return table.toString();
}

export function linuxTable(report: LinuxReport): string {
  const { write, negotiated, cycles, counted, lost, restore, resets, statuses, drainUs, mostInFlight, sleep } = report;
  const table = makeTable(['Linux', `${write.version}, with drivers that suspend`]);
  table.push(
    ['negotiated', negotiated ? 'VIRTIO_F_SUSPEND (bit 43)' : 'NOT'],
    [
      'cycles',
      `${cycles} under load, of the disk by its driver; that counted ${counted.cycles} and ${counted.failures} failures`,
    ],
    ['lost', `${lost} of ${restore.verified} files`],
    ['resets', resets],
    ['status', `${statuses.join(' ')} around the save`],
    [
      'drain',
      `p50 ${drainUs.p50} us, p99 ${drainUs.p99}, max ${drainUs.max}, with up to ${mostInFlight} requests in flight`,
    ],
    ['suspended', `by Linux after ${write.filesBefore} files; device status ${write.deviceStatus}`],
    ...movedRows(report),
    [
      'sleep (s2idle)',
      `all suspended in ${sleep.suspendMs} ms; after ${sleep.asleepMs} ms woken by the serial line in ${sleep.wakeMs} ms`,
    ],
  );
  return table.toString();
}

export function loopbackTable(thread: LoopbackReport, worker: LoopbackReport): string {
  const table = makeTable([
    'loopback',
    'requests',
    'cycles',
    'moved',
    'lost',
    'duplicated',
    'wrong',
    'in flight',
    'drain p50 us',
    'p99',
    'max',
  ]);
  for (const [name, run] of [
    ['one thread', thread],
    ['worker', worker],
  ] as const) {
    const { requests, cycles, moved, lost, duplicated, wrong, mostInFlight, drainUs } = run;
    const { p50, p99, max } = drainUs;
    table.push([name, requests, cycles, moved, lost, duplicated, wrong, mostInFlight, p50, p99, max]);
  }
  return `${table.toString()}\nstatus values of one cycle: ${thread.statuses.join(' ')}`;
}

/** What a guest went through that was saved, by whomever it was brought to rest. */
function movedRows(
  report: MovedReport & { readonly write: WriteReport; readonly restore: RestoreReport },
): [string, string][] {
  const { write, restore, imageUntouched } = report;
  return [
    ['saved', `${write.savedBytes} bytes in ${write.saveMs} ms by process ${write.pid}, which ended`],
    [
      'restored',
      `in ${restore.restoreMs} ms by process ${restore.pid}; the guest went on to ${restore.filesAfter} files`,
    ],
    ['checksums', `${restore.verified} files checked again, ${restore.bad + restore.badInLoad} bad`],
    ['whole disk', `${restore.diskInGuest} in the guest, ${restore.diskOutside} outside`],
    ['base image', imageUntouched ? 'as it was' : 'CHANGED'],
  ];
}
