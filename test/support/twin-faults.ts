/** The faults that twins have, and the rule that each of them breaks. */
import type { DeviceFault } from './twin-device.ts';
import type { DriverFault } from './twin-driver.ts';

export const ruleOfDeviceFault: Readonly<Record<DeviceFault, string>> = {
  'shows SUSPEND before DRIVER_OK': 'suspend.device.1',
  'takes configuration writes at rest': 'suspend.device.2',
  'interrupts at rest': 'suspend.device.3',
  'uses buffers at rest': 'suspend.device.4',
  'changes its configuration at rest': 'suspend.device.5',
  'tells a change at rest': 'suspend.device.6',
  'forgets to tell a change': 'suspend.device.7',
  'keeps DRIVER_OK': 'suspend.device.8',
  'never runs again': 'suspend.device.9',
  'rests with a buffer in processing': 'suspend.device.11',
  'defers its interrupts': 'suspend.device.12',
  'zeroes the status': 'status.device.bits',
  'suspends without negotiation': 'suspend.device.negotiated',
  'offers bit 42': 'features.device.defined',
  'uses a buffer twice': 'split.device.used.id',
  'resumes without a look at its queue': 'suspend.device.scan',
  'shows a suspend that failed as one that is done': 'suspend.device.failed',
  'suspends though nobody asks': 'status.device.bits',
  'runs again though nobody asks': 'status.device.bits',
};

export const ruleOfDriverFault: Readonly<Record<DriverFault, string>> = {
  'suspends without negotiation': 'suspend.driver.1',
  'suspends before DRIVER_OK': 'suspend.driver.1',
  'does not read the status': 'suspend.driver.2',
  'offers buffers while suspended': 'suspend.driver.3',
  'kicks while suspended': 'suspend.driver.4',
  'writes configuration while suspended': 'suspend.driver.5',
  'does not wait for the resume': 'suspend.driver.6',
  'waits for an equal byte': 'suspend.driver.seen',
  'asks again while it waits for the resume': 'suspend.driver.6',
};
