/** What the first process tells before it ends. */
export interface WriteReport {
  readonly pid: number;
  readonly version: string;
  /** Files written, read back and compared before the pause. */
  readonly filesBefore: number;
  /** Requests of the guest that were in flight when its processor was stopped. */
  readonly inFlight: number;
  readonly pauseMs: number;
  readonly saveMs: number;
  readonly savedBytes: number;
  readonly deviceStatus: string;
}

/** What the second process tells. */
export interface RestoreReport {
  readonly pid: number;
  readonly restoreMs: number;
  /** Files written, read back and compared by the load, those before the pause included. */
  readonly filesAfter: number;
  /** Comparisons of the load that failed. */
  readonly badInLoad: number;
  /** Files whose sums were checked again at the end, and those that were wrong. */
  readonly verified: number;
  readonly bad: number;
  /** MD5 of the whole disk as the guest reads it, and as it is outside. */
  readonly diskInGuest: string;
  readonly diskOutside: string;
}

/** From a phase to the process that started it. */
export type PhaseMessage<Report> =
  | { readonly kind: 'progress'; readonly text: string }
  | { readonly kind: 'report'; readonly report: Report };

/** What a phase is told. */
export interface PhaseInput {
  readonly phase: 'write' | 'restore';
  readonly image: string;
  readonly saved: string;
  readonly guest: {
    readonly kernel?: string;
    readonly initrd?: string;
    readonly bios?: string;
    readonly cache?: string;
  };
}

export interface GuestReport {
  readonly paused: boolean;
  readonly saved: boolean;
  readonly restored: boolean;
  /** Every sum in the guest was right, and the disk is the same from both sides. */
  readonly checksums: boolean;
  readonly write: WriteReport;
  readonly restore: RestoreReport;
  /** The image below the overlay was not touched. */
  readonly imageUntouched: boolean;
}
