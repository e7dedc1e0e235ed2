import type { Clock } from './clock.ts';

export interface DeviceOptions {
  /** Feature bits not to offer, of those that would be. */
  readonly withhold?: readonly number[];
  /** Feature bits to offer besides: RING_PACKED, IN_ORDER, NOTIFICATION_DATA, NOTIF_CONFIG_DATA, RING_RESET. */
  readonly offer?: readonly number[];
  /** How long a suspend may wait for what is in processing before it fails with DEVICE_NEEDS_RESET. 5 s. */
  readonly suspendLimitMs?: number;
  /**
   * Descriptors that an indirect table may have, where that is more than its queue has. For transports whose other side makes
   * queues smaller than they could be, while its driver goes by what the configuration space says of the larger ones.
   */
  readonly longestTable?: number;
  readonly clock?: Clock;
}
