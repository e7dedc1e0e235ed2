import type { FeatureSet } from '../spec/features.ts';

/** What a driver of one device type brings. */
export interface DriverType {
  readonly deviceId: number;
  /** The type's own feature bits that the driver can use. */
  readonly features: FeatureSet;
  /** How many queues to use, given what was negotiated; `driver.readConfig` may be called. */
  queueCount(features: FeatureSet): Promise<number>;
  /** The device has changed its configuration; also called once after each resume. */
  configChanged?(): void;
}
