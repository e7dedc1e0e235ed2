import { vi } from 'vitest';
import { ConfigSpace } from '../../src/device/config-space.ts';
import { Device } from '../../src/device/device.ts';
import { DeviceQueues } from '../../src/device/device-queues.ts';
import { Quiet } from '../../src/device/quiet.ts';
import { StatusMachine } from '../../src/device/status-machine.ts';
import { DriverQueues } from '../../src/driver/driver-queues.ts';
import { Life } from '../../src/driver/life.ts';
import { RequestQueue } from '../../src/driver/request-queue.ts';
import { SplitDeviceQueue } from '../../src/queue/split-device-queue.ts';
import { SplitDriverQueue } from '../../src/queue/split-driver-queue.ts';
import { Status } from '../../src/spec/status.ts';

/**
 * Faults that are planted into the real code, one method of it each, which the comparison with the model has to find. Whoever
 * plants one calls `vi.restoreAllMocks` at the end.
 */
export const DEVICE_FAULTS: Readonly<Record<string, () => void>> = {
  'forgets a held change': () => {
    vi.spyOn(ConfigSpace.prototype, 'settle').mockImplementation(function (this: ConfigSpace) {
      this.tellOwed();
    });
  },
  'tells a change at rest': () => {
    const { changed } = ConfigSpace.prototype;
    vi.spyOn(ConfigSpace.prototype, 'changed').mockImplementation(function (this: ConfigSpace) {
      changed.call(this);
      if (this.changeHeld) this.owe();
    });
  },
  'takes configuration writes at rest': () => {
    vi.spyOn(Device.prototype, 'frozen', 'get').mockReturnValue(false);
  },
  'keeps DRIVER_OK': () => {
    vi.spyOn(StatusMachine.prototype, 'suspended').mockImplementation(function (this: StatusMachine) {
      this.restore('suspended', this.shown);
    });
  },
  'zeroes the status': () => {
    vi.spyOn(StatusMachine.prototype, 'suspended').mockImplementation(function (this: StatusMachine) {
      this.restore('suspended', Status.SUSPEND);
    });
  },
  'shows a failed suspend as one': () => {
    vi.spyOn(StatusMachine.prototype, 'needReset').mockImplementation(function (this: StatusMachine) {
      this.restore('needsReset', this.shown | Status.DEVICE_NEEDS_RESET);
    });
  },
  'resumes by the write that gives it up': () => {
    const { write } = StatusMachine.prototype;
    vi.spyOn(StatusMachine.prototype, 'write').mockImplementation(function (this: StatusMachine, value, ...rest) {
      return write.call(this, value & ~Status.FAILED, ...rest);
    });
  },
  'takes buffers while it is held': () => {
    vi.spyOn(Quiet.prototype, 'open', 'get').mockReturnValue(true);
  },
  'rests with a buffer in processing': () => {
    vi.spyOn(DeviceQueues.prototype, 'busy', 'get').mockReturnValue(false);
  },
  'serves before old buffers are back': () => {
    vi.spyOn(DeviceQueues.prototype, 'orphans', 'get').mockReturnValue(0);
  },
  'resumes without a look at its queue': () => {
    vi.spyOn(DeviceQueues.prototype, 'scan').mockReturnValue();
  },
  'looks at its queue at rest': () => {
    const { drain } = DeviceQueues.prototype;
    vi.spyOn(DeviceQueues.prototype, 'drain').mockImplementation(function (this: DeviceQueues, slot) {
      slot.queue?.arm();
      drain.call(this, slot);
    });
  },
  'goes on from the start of the ring when it was restored': () => {
    const { make } = DeviceQueues.prototype;
    vi.spyOn(DeviceQueues.prototype, 'make').mockImplementation(function (this: DeviceQueues, layout, accepted) {
      return make.call(this, layout, accepted);
    });
  },
  'loses one of two buffers': () => {
    const { take } = SplitDeviceQueue.prototype;
    vi.spyOn(SplitDeviceQueue.prototype, 'take').mockImplementation(function (this: SplitDeviceQueue) {
      const chain = take.call(this);
      return take.call(this) ?? chain;
    });
  },
  'does not interrupt': () => {
    const { publish } = SplitDeviceQueue.prototype;
    vi.spyOn(SplitDeviceQueue.prototype, 'publish').mockImplementation(function (this: SplitDeviceQueue) {
      publish.call(this);
      return false;
    });
  },
};

/** The same for a driver. */
export const DRIVER_FAULTS: Readonly<Record<string, () => void>> = {
  'exposes and kicks after SUSPEND': () => {
    vi.spyOn(RequestQueue.prototype, 'hold').mockReturnValue();
  },
  'does not look at its used ring when the device is suspended': () => {
    vi.spyOn(DriverQueues.prototype, 'collect').mockReturnValue();
  },
  'leaves its queue alone after a resume': () => {
    vi.spyOn(DriverQueues.prototype, 'letGo').mockReturnValue();
  },
  'tells nobody what is lost': () => {
    vi.spyOn(RequestQueue.prototype, 'abandon').mockReturnValue();
  },
  'goes on with what was begun before a reset': () => {
    vi.spyOn(Life.prototype, 'check').mockReturnValue();
  },
  'does not kick': () => {
    const { expose } = SplitDriverQueue.prototype;
    vi.spyOn(SplitDriverQueue.prototype, 'expose').mockImplementation(function (this: SplitDriverQueue) {
      expose.call(this);
      return false;
    });
  },
  'asks for no interrupts': () => {
    vi.spyOn(SplitDriverQueue.prototype, 'arm').mockReturnValue(false);
  },
};
