import { Device } from '../../src/device/device.ts';
import { Driver, type DriverOptions } from '../../src/driver/driver.ts';
import { GuestAllocator, type GuestSlice } from '../../src/memory/allocator.ts';
import { GuestMemory } from '../../src/memory/guest-memory.ts';
import { BufferList } from '../../src/queue/buffer-list.ts';
import { ControlledType } from './controlled-type.ts';
import { FakeClock } from './fake-clock.ts';
import { type Outcome, outcome } from './outcome.ts';
import { type Connection, connect, type Way } from './rig.ts';

export interface RequestRigOptions {
  readonly way?: Way;
  /** Feature bits that the device offers besides the usual ones. */
  readonly offer?: readonly number[];
  readonly driver?: DriverOptions;
  /** Entries that the device's queues have at most. 8. */
  readonly queueSize?: number;
}

/** A driver with two queues of requests, each a number of four bytes that comes back, and a device that a test controls. */
export class RequestRig {
  readonly memory: GuestMemory;
  readonly allocator: GuestAllocator;
  readonly clock: FakeClock = new FakeClock();
  readonly type: ControlledType;
  readonly device: Device;
  driver!: Driver;
  connection!: Connection;

  private constructor(offer: readonly number[], queueSize: number) {
    const bytes = 0x40000 + queueSize * 128;
    this.memory = GuestMemory.over(new Uint8Array(bytes));
    this.allocator = new GuestAllocator(this.memory, 0x1000, bytes - 0x1000);
    this.type = new ControlledType(queueSize);
    this.device = new Device(this.type, this.memory, { clock: this.clock, offer });
  }

  /** Both ends, initialised. */
  static async start({ way, offer = [], driver = {}, queueSize = 8 }: RequestRigOptions = {}): Promise<RequestRig> {
    const rig = new RequestRig(offer, queueSize);
    const { clock, type } = rig;
    rig.connection = await connect(rig.device, way);
    const driverType = { deviceId: type.deviceId, features: 0n, queueCount: async () => 2 };
    rig.driver = new Driver(driverType, rig.connection.transport, rig.allocator, { clock, ...driver });
    await rig.driver.initialize();
    return rig;
  }

  /** Sends a number; done when it has come back, or lost. With one descriptor there is only room for an answer. */
  request(queue: number, number: number, descriptors = 2): Outcome {
    const slice = this.allocator.allocate(8);
    return outcome(
      new Promise<void>((resolve, reject) => {
        slice.region.view.setUint32(slice.offset, number, true);
        const buffers = new BufferList();
        if (descriptors > 1) buffers.addReadable(slice.address, 4);
        for (let n = 2; n < descriptors; n++) buffers.addReadable(slice.address, 1);
        buffers.addWritable(slice.address + 4, 4);
        this.driver.queues[queue]!.submit({
          buffers,
          used: () => {
            const answer = answerOf(slice);
            if (descriptors === 1 || answer === number) resolve();
            else reject(new Error(`request ${number} was answered with ${answer}`));
          },
          lost: reject,
        });
      }).finally(() => this.allocator.release(slice)),
    );
  }
}

function answerOf({ region, offset }: GuestSlice): number {
  return region.view.getUint32(offset + 4, true);
}
