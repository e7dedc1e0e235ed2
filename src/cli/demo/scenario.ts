import type { BusyGuest } from './busy-guest.ts';
import type { ScenarioName, ScenarioReports } from './guest-report.ts';

/** How a busy guest comes to rest before it is saved, and to work again after it was restored. */
export interface Scenario<Name extends ScenarioName> {
  /** The guest's list of modules with its drivers. */
  readonly drivers: string;
  /** The machine may be saved when this resolves. */
  rest(guest: BusyGuest): Promise<ScenarioReports[Name]['write']>;
  /** The machine runs again when this is called. */
  goOn(guest: BusyGuest): Promise<ScenarioReports[Name]['restore']>;
}
