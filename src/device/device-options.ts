import type { Clock } from './clock.ts';

export interface DeviceOptions {
  /** Feature bits not to offer, of those that would be. */
  readonly withhold?: readonly number[];
  /** Feature bits to offer besides: RING_PACKED, IN_ORDER, NOTIFICATION_DATA, NOTIF_CONFIG_DATA, RING_RESET. */
  readonly offer?: readonly number[];
  /** How long a suspend may wait for what is in processing before it fails with DEVICE_NEEDS_RESET. 5 s. */
  readonly suspendLimitMs?: number;
  readonly clock?: Clock;
}
