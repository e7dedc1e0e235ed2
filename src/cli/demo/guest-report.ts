import type { GuestOptions } from '../guest-options.ts';
import type { Percentiles } from './loopback-report.ts';

/** What the first process tells before it ends. */
export interface WriteReport {
  readonly pid: number;
  readonly version: string;
  /** Files written, read back and compared before the guest was brought to rest. */
  readonly filesBefore: number;
  /** The status of the disk's device when the machine was saved. */
  readonly deviceStatus: string;
  readonly saveMs: number;
  readonly savedBytes: number;
  /** Of the device, since its driver had started it. */
  readonly resets: number;
}

/** What the second process tells. */
export interface RestoreReport {
  readonly pid: number;
  readonly restoreMs: number;
  /** Files written, read back and compared by the load, those before the save included. */
  readonly filesAfter: number;
  /** Comparisons of the load that failed. */
  readonly badInLoad: number;
  /** Files whose sums were checked again at the end, and those that were wrong or missing. */
  readonly verified: number;
  readonly bad: number;
  /** MD5 of the whole disk as the guest reads it, and as it is outside. */
  readonly diskInGuest: string;
  readonly diskOutside: string;
  readonly resets: number;
}

/** A guest that the host has paused. */
export interface PauseReport {
  /** Requests of the guest that were in flight when its processor was stopped. */
  readonly inFlight: number;
  readonly pauseMs: number;
}

/** A guest whose driver has suspended its device again and again, and left it suspended. */
export interface SuspendReport {
  /** VIRTIO_F_SUSPEND. */
  readonly negotiated: boolean;
  /** Cycles in which the status had all the values that it has to have. */
  readonly cycles: number;
  /** The status values of the last suspend. */
  readonly statuses: readonly string[];
  readonly drainsUs: readonly number[];
  readonly mostInFlight: number;
}

/** A guest whose driver has resumed that device, and suspended it once more to sleep. */
export interface ResumeReport extends SuspendReport {
  readonly sleep: SleepReport;
  /** What the driver has counted from its start on. */
  readonly counted: { readonly cycles: number; readonly failures: number; readonly resets: number };
}

/** Suspend-to-idle. */
export interface SleepReport {
  /** From the command to the suspended device. */
  readonly suspendMs: number;
  /** How long the guest was left asleep. */
  readonly asleepMs: number;
  /** From a byte on the serial line to the running device. */
  readonly wakeMs: number;
  readonly statuses: readonly string[];
}

/** What each scenario adds to what the first and the second process tell. */
export interface ScenarioReports {
  readonly pause: { readonly write: PauseReport; readonly restore: object };
  readonly suspend: { readonly write: SuspendReport; readonly restore: ResumeReport };
}

export type ScenarioName = keyof ScenarioReports;

/** From a phase to the process that started it. */
export type PhaseMessage<Report> =
  | { readonly kind: 'progress'; readonly text: string }
  | { readonly kind: 'report'; readonly report: Report };

/** What a phase is told. */
export interface PhaseInput {
  readonly phase: 'write' | 'restore';
  readonly scenario: ScenarioName;
  readonly image: string;
  readonly saved: string;
  readonly guest: Pick<GuestOptions, 'kernel' | 'initrd' | 'bios' | 'cache' | 'suspend'>;
}

/** What both scenarios have to show. */
export interface MovedReport {
  readonly saved: boolean;
  readonly restored: boolean;
  /** Every sum in the guest was right, and the disk is the same from both sides. */
  readonly checksums: boolean;
  /** The image below the overlay was not touched. */
  readonly imageUntouched: boolean;
}

/** A guest that knows nothing of VIRTIO_F_SUSPEND. */
export interface GuestReport extends MovedReport {
  readonly paused: boolean;
  readonly write: WriteReport & PauseReport;
  readonly restore: RestoreReport;
}

/** A guest that suspends its disk itself. */
export interface LinuxReport extends MovedReport {
  readonly negotiated: boolean;
  /** Suspends and resumes of the device: under load, around the save, to sleep. */
  readonly cycles: number;
  /** Files with wrong contents, or without any. */
  readonly lost: number;
  /** Of the device, since its driver had started it. */
  readonly resets: number;
  /** The status values of the cycle around the save. */
  readonly statuses: readonly string[];
  /** From a suspend request to the suspended state, in microseconds. */
  readonly drainUs: Percentiles;
  /** Most requests in flight when a suspend was asked for. */
  readonly mostInFlight: number;
  readonly sleep: SleepReport;
  readonly counted: ResumeReport['counted'];
  readonly write: WriteReport;
  readonly restore: RestoreReport;
}
