import type { QueueLayout, QueueState } from '../queue/device-queue.ts';
import { StateError } from '../spec/fault.ts';
import { Feature, type FeatureSet, featureBits, hasFeature } from '../spec/features.ts';
import type { ConfigSpace, ConfigState } from './config-space.ts';
import type { Device } from './device.ts';
import type { QuietOwner } from './quiet.ts';
import { type Sealed, seal, unseal } from './sealed.ts';
import { consistent, type DeviceState, type StatusMachine } from './status-machine.ts';

const FORMAT = 'virtio device';
const VERSION = 1;

/** A queue as its registers show it; with positions when it is in use. One in use without them starts at the beginning. */
export type SavedQueue = QueueLayout & { readonly enabled: boolean; readonly positions: QueueState | null };

/** The state of a device at rest, without that of its transport. Numbers of the rings are as in the rings. */
export interface DeviceBody {
  readonly deviceId: number;
  readonly state: DeviceState;
  readonly status: number;
  /** Accepted features, hexadecimal. */
  readonly accepted: string;
  readonly paused: boolean;
  readonly failure: string | null;
  readonly config: ConfigState;
  readonly queues: readonly SavedQueue[];
  readonly type: unknown;
}

export type SavedDevice = Sealed<DeviceBody>;

/** The saved state of a device at rest. */
export function sealDevice(device: Device, { state, shown }: StatusMachine, config: ConfigSpace): SavedDevice {
  return seal<DeviceBody>(FORMAT, VERSION, {
    deviceId: device.type.deviceId,
    state,
    status: shown,
    accepted: device.accepted.toString(16),
    paused: device.paused,
    failure: device.failure?.message ?? null,
    config: config.save(),
    queues: device.queues.map((slot) => ({
      ...slot.layout,
      enabled: slot.enabled,
      positions: slot.queue?.save() ?? null,
    })),
    type: device.type.save?.() ?? null,
  });
}

/**
 * The same state with no queue in use, for a transport whose other side says where the queues are and where they go on. Throws
 * StateError when it is no saved device.
 */
export function withoutQueues(saved: unknown): SavedDevice {
  const body = unseal(saved, FORMAT, VERSION) as DeviceBody;
  require(isObject(body) && Array.isArray(body.queues), 'it has no queues');
  const queues = body.queues.map((queue) => ({ ...queue, enabled: false, positions: null }));
  return seal<DeviceBody>(FORMAT, VERSION, { ...body, queues });
}

/** Whether a queue of a saved device was in use: enabled, and the device past DRIVER_OK. */
export function queueInUse(state: DeviceState, queue: SavedQueue): boolean {
  return queue.enabled && state !== 'initializing' && state !== 'needsReset';
}

/** Who held it, and goes on doing so. */
export function ownersOf({ state, paused }: DeviceBody): readonly QuietOwner[] {
  const owners: QuietOwner[] = [];
  if (state === 'suspended') owners.push('suspend');
  if (paused) owners.push('pause');
  return owners;
}

/** Checks a saved state against the device that is to take it over; `tryQueue` makes one of its queues, or throws. Throws StateError that says what differs. */
export function unsealFor(
  saved: unknown,
  device: Device,
  tryQueue: (queue: SavedQueue, accepted: FeatureSet) => void,
): DeviceBody {
  const body = unseal(saved, FORMAT, VERSION) as DeviceBody;
  require(isObject(body) &&
    Array.isArray(body.queues) &&
    isObject(body.config), 'it has no queues or no configuration');
  require(body.deviceId ===
    device.type.deviceId, `it is of a device with id ${body.deviceId}, this one has ${device.type.deviceId}`);
  require(/^[0-9a-f]+$/.test(String(body.accepted)), 'its features are not a hexadecimal number');
  const accepted = BigInt(`0x${body.accepted}`);
  const foreign = featureBits(accepted & ~device.offered);
  require(foreign.length === 0, `it uses feature ${foreign.join(', ')}, which this device does not offer`);
  checkState(body, hasFeature(accepted, Feature.SUSPEND));
  checkConfig(body, device);
  require(body.queues.length ===
    device.queues.length, `it has ${body.queues.length} queues, this device ${device.queues.length}`);
  body.queues.forEach((queue, index) => {
    checkQueue(queue, index, device.queues[index]!.description.maxSize, accepted);
    const inUse = queueInUse(body.state, queue);
    require(inUse || queue.positions === null, `queue ${index} has positions but is not in use`);
    if (!inUse) return;
    try {
      tryQueue(queue, accepted);
    } catch (error) {
      require(false, `queue ${index}: ${error instanceof Error ? error.message : String(error)}`);
    }
  });
  return body;
}

function checkState(body: DeviceBody, suspendNegotiated: boolean): void {
  const { state, status, failure } = body;
  require(typeof body.paused === 'boolean' &&
    (failure === null || typeof failure === 'string'), 'it does not say whether it was paused or had failed');
  require(isCount(status, 0xff) &&
    consistent(state, status) &&
    state !== 'suspending', `its status ${status} does not go with "${state}"`);
  const needsSuspend = state === 'suspended' || state === 'resuming';
  require(suspendNegotiated || !needsSuspend, `it is ${state}, but VIRTIO_F_SUSPEND was not negotiated`);
  require(state === 'suspended' ||
    state === 'needsReset' ||
    body.paused === true, 'it is neither suspended nor paused');
}

function checkConfig({ config }: DeviceBody, device: Device): void {
  require(Array.isArray(config.bytes) &&
    config.bytes.every((byte) => isCount(byte, 0xff)) &&
    isCount(config.generation, 0xffff_ffff), 'its configuration space is not bytes');
  const flags = [config.changedSinceRead, config.changeHeld, config.notificationOwed];
  require(flags.every((flag) => typeof flag === 'boolean'), 'it does not say what of its configuration was held back');
  require(config.bytes.length ===
    device.configSize, `its configuration space has ${config.bytes.length} bytes, this device's ${device.configSize}`);
}

function checkQueue(queue: DeviceBody['queues'][number], index: number, maxSize: number, accepted: FeatureSet): void {
  const what = `queue ${index}`;
  require(isObject(queue) &&
    isCount(queue.size, maxSize), `${what} has ${queue?.size} entries, this device's at most ${maxSize}`);
  const areas = [queue.descriptorArea, queue.driverArea, queue.deviceArea];
  // What a driver writes into a register that it never uses may be no address of any memory.
  require(areas.every((area) => isCount(area, 2 ** 64)), `the areas of ${what} are not addresses`);
  require(typeof queue.enabled === 'boolean', `${what} does not say whether it is enabled`);
  const { positions } = queue;
  if (positions === null) return;
  const format = hasFeature(accepted, Feature.RING_PACKED) ? 'packed' : 'split';
  require(isObject(positions) && positions.format === format, `${what} is not a ${format} queue, as was negotiated`);
  const last = positions.format === 'packed' ? queue.size - 1 : 0xffff;
  require(isCount(positions.availableNext, last) &&
    positions.availableNext === positions.usedNext, `the positions of ${what} do not belong to a queue at rest`);
  if (positions.format === 'split') return;
  require(isCount(positions.availableWrap, 1) &&
    positions.availableWrap === positions.usedWrap, `the wrap counters of ${what} do not belong to a queue at rest`);
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function isCount(value: unknown, max: number): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= max;
}

function require(condition: boolean, reason: string): asserts condition {
  if (!condition) throw new StateError(`the saved state does not fit this device: ${reason}`);
}
