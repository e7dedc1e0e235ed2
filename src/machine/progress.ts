/** One step of a longer piece of work, reported when it starts and as it goes on. */
export interface ProgressStep {
  /** The same for all reports of one step. */
  readonly name: string;
  readonly detail?: string;
  /** How much of the step is done, 0 to 1, where that is known. */
  readonly fraction?: number;
}

export type OnProgress = (step: ProgressStep) => void;
