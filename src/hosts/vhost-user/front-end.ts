import type { Device } from '../../device/device.ts';
import { ProtocolError } from '../../spec/fault.ts';
import { Feature, type FeatureSet, hasFeature } from '../../spec/features.ts';
import { MAX_PACKED_QUEUE_SIZE } from '../../spec/packed-ring.ts';
import { Status } from '../../spec/status.ts';
import { memfd } from '../../unix/file-descriptor.ts';
import { UnixSocket } from '../../unix/socket.ts';
import { DirtyLog } from './dirty-log.ts';
import type { FrontEndMemory } from './front-end-memory.ts';
import { inflightBytes } from './inflight.ts';
import { type Message, send, u64, vringState } from './message-reader.ts';
import {
  BackendRequest,
  ConfigField,
  InflightField,
  LOG_ALL_BIT,
  LogField,
  NO_STATE_FD,
  PROTOCOL_FEATURES_BIT,
  ProtocolFeature,
  type RequestName,
  SINGLE_REGION,
  StateField,
} from './messages.ts';
import { configRange, readInflight, readRegion, readTable, readU64, requireFds } from './payloads.ts';
import { type RingHooks, Rings } from './rings.ts';
import { Direction, StateTransfer } from './state-transfer.ts';

/** What becomes of a message: a reply of its own, perhaps with a descriptor to be closed then; done; or refused. */
export type Answer = Uint8Array | { readonly payload: Uint8Array; readonly fd: number } | 'done' | Error;

/** To be called once, with the answer of a message for which `later` was returned. */
export type AnswerLater = () => (answer: Answer) => void;

export interface FrontEndHooks extends RingHooks {
  /** A message was not obeyed, and the front-end was told so. */
  rejected(message: string, reason: Error): void;
}

type Handler = (message: Message, later: AnswerLater) => Answer | 'later';

const NOTHING = new Uint8Array(0);
const PROTOCOL_FEATURES: bigint = 1n << BigInt(PROTOCOL_FEATURES_BIT);
const LOG_ALL: bigint = 1n << BigInt(LOG_ALL_BIT);
const OFFERED_PROTOCOL: bigint = Object.values(ProtocolFeature).reduce((set, bit) => set | (1n << BigInt(bit)), 0n);
const INITIALIZATION: number = Status.ACKNOWLEDGE | Status.DRIVER | Status.FEATURES_OK;

/**
 * What a front-end has said so far, and what that means for the device: features, memory, rings, configuration, status. What
 * makes no sense throws ProtocolError.
 */
export class FrontEnd {
  readonly #device: Device;
  readonly #hooks: FrontEndHooks;
  readonly #memory: FrontEndMemory;
  readonly #rings: Rings;
  readonly #state: StateTransfer;
  readonly #log: DirtyLog;
  #features: FeatureSet = 0n;
  #protocol = 0n;
  /** DRIVER_OK was assumed when a ring was started, and the front-end has not said it. */
  #assumesRunning = false;
  /** There is a message that enables a ring. */
  #enabling: 'kick' | 'message' = 'kick';
  /** The way back, for what this end has to say. */
  #channel: UnixSocket | undefined;
  #closed = false;

  constructor(device: Device, memory: FrontEndMemory, hooks: FrontEndHooks) {
    this.#hooks = hooks;
    // Of a device that was restored: a front-end that says the same goes on with it.
    this.#features = device.accepted;
    this.#device = device;
    this.#memory = memory;
    this.#rings = new Rings(device, memory, hooks);
    this.#state = new StateTransfer(device);
    this.#log = new DirtyLog(memory.memory);
  }

  /** The front-end may ask to be told whether a message could be obeyed. */
  get acknowledges(): boolean {
    return this.#has(ProtocolFeature.REPLY_ACK);
  }

  /** Something is under way that needs the event loop. */
  get busy(): boolean {
    return this.#state.underWay;
  }

  /** Does what a message says. Some take their time: then `later` was called, and comes back. */
  handle(message: Message, later: AnswerLater): Answer | 'later' {
    const { needs, name } = message.shape;
    if (needs !== undefined && !this.#has(needs)) {
      throw new ProtocolError('vhost.frontend.message.feature', `${name} needs a feature that was not negotiated`);
    }
    const answer = this.#handlers[name](message, later);
    this.#rings.activate(hasFeature(this.#features, Feature.RING_PACKED) ? 'packed' : 'split', () => this.#run());
    return answer;
  }

  /** Interrupts the guest for used buffers of a queue. */
  usedBuffer(queue: number): void {
    this.#rings.signal(queue, 'call');
  }

  configChanged(): void {
    if (this.#channel !== undefined) send(this.#channel, BackendRequest.CONFIG_CHANGE, 0, NOTHING);
  }

  /** The device is in DEVICE_NEEDS_RESET. */
  deviceFailed(): void {
    for (let n = 0; n < this.#rings.count; n++) this.#rings.signal(n, 'err');
  }

  /** Afterwards the device and its memory are as if there had been no front-end. */
  close(): void {
    this.#closed = true;
    this.#state.cancel();
    this.#device.reset();
    this.#rings.close();
    this.#log.close();
    this.#memory.clear();
    this.#channel?.close();
  }

  readonly #handlers: Readonly<Record<RequestName, Handler>> = {
    GET_FEATURES: () => u64(this.#device.offered | PROTOCOL_FEATURES | LOG_ALL),
    SET_FEATURES: done(({ payload }) => this.#setFeatures(payload.getBigUint64(0, true))),
    SET_OWNER: () => 'done',
    // Front-ends that know no RESET_DEVICE send it when their guest resets the device, after they have stopped the rings.
    RESET_OWNER: () => 'done',
    SET_MEM_TABLE: (message, later) => {
      const regions = readTable(message);
      return this.#changeMemory(message, later, () => this.#memory.replace(regions, message.fds));
    },
    ADD_MEM_REG: (message, later) => {
      requireFds(message, 1);
      const region = readRegion(message.payload, SINGLE_REGION);
      return this.#changeMemory(message, later, () => this.#memory.add(region, message.fds[0]!));
    },
    REM_MEM_REG: (message, later) => {
      const region = readRegion(message.payload, SINGLE_REGION);
      return this.#changeMemory(message, later, () => this.#memory.remove(region));
    },
    GET_MAX_MEM_SLOTS: () => u64(BigInt(this.#memory.mostRegions)),
    SET_LOG_BASE: (message) => {
      requireFds(message, 1);
      this.#log.open(message.fds[0]!, {
        bytes: readU64(message.payload, LogField.BYTES),
        fileOffset: readU64(message.payload, LogField.OFFSET),
      });
      return u64(0n);
    },
    // For telling that there is something in the log, which front-ends look at anyway.
    SET_LOG_FD: () => 'done',
    SET_VRING_NUM: done(({ payload }) => this.#rings.setSize(payload)),
    SET_VRING_ADDR: done(({ payload }) => this.#rings.setAddresses(payload)),
    SET_VRING_BASE: done(({ payload }) => this.#rings.setBase(payload)),
    GET_VRING_BASE: ({ payload }, later) => {
      const answer = later();
      this.#rings.stop(payload, (index, base) => answer(vringState(index, base)));
      return 'later';
    },
    SET_VRING_KICK: done((message) => this.#rings.takeEvent(message, 'kick', this.#enabling)),
    SET_VRING_CALL: done((message) => this.#rings.takeEvent(message, 'call', this.#enabling)),
    SET_VRING_ERR: done((message) => this.#rings.takeEvent(message, 'err', this.#enabling)),
    SET_VRING_ENABLE: ({ payload }, later) => {
      const answer = later();
      this.#rings.enable(payload, () => answer('done'));
      return 'later';
    },
    GET_PROTOCOL_FEATURES: () => u64(OFFERED_PROTOCOL),
    SET_PROTOCOL_FEATURES: done(({ payload }) => this.#setProtocol(payload.getBigUint64(0, true))),
    GET_QUEUE_NUM: () => u64(BigInt(this.#rings.count)),
    SET_BACKEND_REQ_FD: done((message) => {
      requireFds(message, 1);
      this.#channel?.close();
      this.#channel = UnixSocket.over(message.fds.pop()!);
    }),
    GET_CONFIG: ({ payload }) => this.#readConfig(payload),
    SET_CONFIG: done(({ payload }) => this.#writeConfig(payload)),
    GET_INFLIGHT_FD: ({ payload }) => this.#makeInflight(payload),
    SET_INFLIGHT_FD: done((message) => {
      requireFds(message, 1);
      this.#rings.setInflight(message.fds[0]!, readInflight(message.payload));
    }),
    RESET_DEVICE: done(() => this.#reset()),
    SET_STATUS: ({ payload }, later) => this.#setStatus(payload.getUint8(0), later),
    SET_DEVICE_STATE_FD: (message) => this.#transferState(message),
    CHECK_DEVICE_STATE: (_message, later) => {
      const answer = later();
      this.#state.check((result) => {
        // What the front-end says next agrees with what was loaded, or is another start.
        if (this.#device.accepted !== 0n) this.#features = this.#device.accepted;
        if (result instanceof Error) this.#hooks.rejected('CHECK_DEVICE_STATE', result);
        answer(u64(result === 'done' ? 0n : 1n));
      });
      return 'later';
    },
    GET_STATUS: () => u64(BigInt(this.#device.status & (this.#assumesRunning ? ~Status.DRIVER_OK : 0xff))),
  };

  #has(protocolFeature: number): boolean {
    return ((this.#protocol >> BigInt(protocolFeature)) & 1n) === 1n;
  }

  #setFeatures(all: bigint): void {
    const features = all & ~(PROTOCOL_FEATURES | LOG_ALL);
    if ((features & ~this.#device.offered) !== 0n) {
      throw new ProtocolError('vhost.frontend.features', `features 0x${features.toString(16)} were not all offered`);
    }
    if ((all & PROTOCOL_FEATURES) !== 0n) this.#enabling = 'message';
    this.#log.wanted = (all & LOG_ALL) !== 0n;
    if (features === this.#features) return;
    if (this.#rings.inUse) {
      throw new ProtocolError('vhost.frontend.features.late', 'the features change while a ring is in use');
    }
    // As when firmware has used the device with fewer features than the system that it has started.
    this.#device.reset();
    this.#features = features;
  }

  #setProtocol(features: bigint): void {
    if ((features & ~OFFERED_PROTOCOL) !== 0n) {
      throw new ProtocolError(
        'vhost.frontend.features',
        `protocol features 0x${features.toString(16)} were not all offered`,
      );
    }
    this.#protocol = features;
    this.#enabling = 'message';
  }

  #changeMemory(message: Message, later: AnswerLater, change: () => void): 'later' {
    const answer = later();
    const changeNow = (): void => {
      let result: Answer = 'done';
      try {
        change();
      } catch (error) {
        result = error as Error;
      }
      answer(result);
    };
    this.#device.atRest(changeNow, (error) => {
      if (this.#closed) return;
      // What is still in processing loses its memory, and touches none afterwards.
      this.#device.fail(new Error(`${message.shape.name}: ${error.message}`));
      changeNow();
    });
    return 'later';
  }

  /** The bytes follow the range that was asked for. */
  #readConfig(payload: DataView): Answer {
    const { offset, length } = configRange(payload);
    const bytes = new Uint8Array(payload.buffer).slice(0, ConfigField.BYTES + length);
    for (let n = 0; n < length; n++) bytes[ConfigField.BYTES + n] = this.#device.readConfig(offset + n, 1);
    return bytes;
  }

  #writeConfig(payload: DataView): void {
    const { offset, length } = configRange(payload);
    for (let n = 0; n < length; n++) this.#device.writeConfig(offset + n, 1, payload.getUint8(ConfigField.BYTES + n));
  }

  #makeInflight(payload: DataView): Answer {
    const { queues, queueSize } = readInflight(payload);
    if (queues < 1 || queues > this.#rings.count || queueSize < 1 || queueSize > MAX_PACKED_QUEUE_SIZE) {
      throw new ProtocolError('vhost.frontend.inflight.size', `${queues} queues of ${queueSize} in flight`);
    }
    const bytes = inflightBytes({ queues, queueSize });
    const answer = new Uint8Array(payload.buffer.slice(0));
    new DataView(answer.buffer).setBigUint64(InflightField.BYTES, BigInt(bytes), true);
    new DataView(answer.buffer).setBigUint64(InflightField.OFFSET, 0n, true);
    return { payload: answer, fd: memfd(bytes) };
  }

  #transferState(message: Message): Answer {
    requireFds(message, 1);
    const direction = message.payload.getUint32(StateField.DIRECTION, true);
    if (direction > Direction.LOAD || message.payload.getUint32(StateField.PHASE, true) !== 0) {
      throw new ProtocolError('vhost.frontend.state', `a transfer of state in direction ${direction}`);
    }
    if (this.#rings.inUse && (direction === Direction.LOAD || !this.#device.isQuiet)) {
      throw new ProtocolError('vhost.frontend.state', 'the state is transferred while a ring is in use');
    }
    const fd = message.fds.pop()!;
    if (direction === Direction.SAVE) this.#state.save(fd);
    else this.#state.load(fd);
    return u64(BigInt(NO_STATE_FD));
  }

  #setStatus(status: number, later: AnswerLater): Answer | 'later' {
    if (status === 0) {
      const answer = later();
      // Front-ends stop a machine like this, too, and ask only then where its rings go on: nothing may be lost.
      this.#rings.stopAll(() => {
        this.#reset();
        answer('done');
      });
      return 'later';
    }
    if ((status & Status.FEATURES_OK) !== 0) this.#writeFeatures();
    // To the driver the initialisation goes on, in which SUSPEND means nothing.
    this.#device.writeStatus(this.#assumesRunning ? status & ~Status.SUSPEND : status);
    if ((status & Status.DRIVER_OK) !== 0) this.#assumesRunning = false;
    return 'done';
  }

  #reset(): void {
    this.#assumesRunning = false;
    this.#device.reset();
    this.#rings.deviceReset();
  }

  #writeFeatures(): void {
    this.#device.writeFeatures(0, Number(this.#features & 0xffff_ffffn));
    this.#device.writeFeatures(1, Number((this.#features >> 32n) & 0xffff_ffffn));
  }

  /** Front-ends that speak of no status, or not of this bit, mean DRIVER_OK when they start the first ring. */
  #run(): void {
    const { DRIVER_OK, FEATURES_OK } = Status;
    if ((this.#device.status & DRIVER_OK) !== 0) return;
    this.#writeFeatures();
    this.#device.writeStatus(INITIALIZATION);
    if ((this.#device.status & FEATURES_OK) === 0) {
      throw new ProtocolError(
        'vhost.frontend.features',
        `the device refuses features 0x${this.#features.toString(16)}`,
      );
    }
    this.#device.writeStatus(INITIALIZATION | DRIVER_OK);
    this.#assumesRunning = true;
  }
}

/** For a message that has no other answer. */
function done(action: (message: Message) => void): Handler {
  return (message) => {
    action(message);
    return 'done';
  };
}
