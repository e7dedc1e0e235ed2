/** The vhost-user protocol's numbers: messages, their shapes, and features of the protocol itself. */

/** Header of every message: request u32, flags u32, bytes of payload u32. */
export const HEADER_BYTES = 12;
export const Header = { REQUEST: 0, FLAGS: 4, SIZE: 8 } as const;

/** The version in the two lowest bits is 1. */
export const HeaderFlag = { VERSION: 1, VERSION_MASK: 3, REPLY: 4, NEED_REPLY: 8 } as const;

/** More than any message has that is understood here. */
export const MOST_PAYLOAD_BYTES = 4096;

/** Offered as a feature bit of the device, though it says something of the protocol only. */
export const PROTOCOL_FEATURES_BIT = 30;
/** A feature bit, too: what the device writes is marked in the log. It comes and goes while the device works. */
export const LOG_ALL_BIT = 26;

export const ProtocolFeature = {
  MQ: 0,
  LOG_SHMFD: 1,
  REPLY_ACK: 3,
  BACKEND_REQ: 5,
  CONFIG: 9,
  INFLIGHT_SHMFD: 12,
  RESET_DEVICE: 13,
  CONFIGURE_MEM_SLOTS: 15,
  STATUS: 16,
  DEVICE_STATE: 19,
} as const;

/** What a message from the front-end looks like; everything else is refused before it is looked at. */
export interface MessageShape {
  readonly name: RequestName;
  readonly request: number;
  /** Bytes of payload. */
  readonly least: number;
  readonly most: number;
  /** At most so many descriptors come with it. */
  readonly fds: number;
  /** Only with this feature of the protocol. */
  readonly needs: number | undefined;
}

export type RequestName =
  | 'GET_FEATURES'
  | 'SET_FEATURES'
  | 'SET_OWNER'
  | 'RESET_OWNER'
  | 'SET_MEM_TABLE'
  | 'SET_LOG_BASE'
  | 'SET_LOG_FD'
  | 'SET_VRING_NUM'
  | 'SET_VRING_ADDR'
  | 'SET_VRING_BASE'
  | 'GET_VRING_BASE'
  | 'SET_VRING_KICK'
  | 'SET_VRING_CALL'
  | 'SET_VRING_ERR'
  | 'GET_PROTOCOL_FEATURES'
  | 'SET_PROTOCOL_FEATURES'
  | 'GET_QUEUE_NUM'
  | 'SET_VRING_ENABLE'
  | 'SET_BACKEND_REQ_FD'
  | 'GET_CONFIG'
  | 'SET_CONFIG'
  | 'GET_INFLIGHT_FD'
  | 'SET_INFLIGHT_FD'
  | 'RESET_DEVICE'
  | 'GET_MAX_MEM_SLOTS'
  | 'ADD_MEM_REG'
  | 'REM_MEM_REG'
  | 'SET_STATUS'
  | 'GET_STATUS'
  | 'SET_DEVICE_STATE_FD'
  | 'CHECK_DEVICE_STATE';

/** A memory table has eight regions at most, whatever the size of a message: descriptors come eight at a time. */
const TABLE_FDS = 8;

/** Of the messages from front-ends: number, least and most bytes of payload, descriptors, protocol feature. */
const SHAPES: Readonly<Record<RequestName, readonly [number, number, number, number?, number?]>> = {
  GET_FEATURES: [1, 0, 0],
  SET_FEATURES: [2, 8, 8],
  SET_OWNER: [3, 0, 0],
  RESET_OWNER: [4, 0, 0],
  SET_MEM_TABLE: [5, 8, 8 + 32 * TABLE_FDS, TABLE_FDS],
  SET_LOG_BASE: [6, 16, 16, 1, ProtocolFeature.LOG_SHMFD],
  SET_LOG_FD: [7, 0, 8, 1],
  SET_VRING_NUM: [8, 8, 8],
  SET_VRING_ADDR: [9, 40, 40],
  SET_VRING_BASE: [10, 8, 8],
  GET_VRING_BASE: [11, 8, 8],
  SET_VRING_KICK: [12, 8, 8, 1],
  SET_VRING_CALL: [13, 8, 8, 1],
  SET_VRING_ERR: [14, 8, 8, 1],
  GET_PROTOCOL_FEATURES: [15, 0, 0],
  SET_PROTOCOL_FEATURES: [16, 8, 8],
  GET_QUEUE_NUM: [17, 0, 0],
  SET_VRING_ENABLE: [18, 8, 8],
  SET_BACKEND_REQ_FD: [21, 0, 8, 1, ProtocolFeature.BACKEND_REQ],
  GET_CONFIG: [24, 12, 12 + 256, 0, ProtocolFeature.CONFIG],
  SET_CONFIG: [25, 12, 12 + 256, 0, ProtocolFeature.CONFIG],
  // Twenty bytes of fields; as a structure of C it has four more.
  GET_INFLIGHT_FD: [31, 20, 24, 0, ProtocolFeature.INFLIGHT_SHMFD],
  SET_INFLIGHT_FD: [32, 20, 24, 1, ProtocolFeature.INFLIGHT_SHMFD],
  RESET_DEVICE: [34, 0, 0, 0, ProtocolFeature.RESET_DEVICE],
  GET_MAX_MEM_SLOTS: [36, 0, 0, 0, ProtocolFeature.CONFIGURE_MEM_SLOTS],
  ADD_MEM_REG: [37, 40, 40, 1, ProtocolFeature.CONFIGURE_MEM_SLOTS],
  // Some front-ends send the descriptor of what is removed; it is of no use.
  REM_MEM_REG: [38, 40, 40, 1, ProtocolFeature.CONFIGURE_MEM_SLOTS],
  SET_STATUS: [39, 8, 8, 0, ProtocolFeature.STATUS],
  GET_STATUS: [40, 0, 0, 0, ProtocolFeature.STATUS],
  SET_DEVICE_STATE_FD: [42, 8, 8, 1, ProtocolFeature.DEVICE_STATE],
  CHECK_DEVICE_STATE: [43, 0, 0, 0, ProtocolFeature.DEVICE_STATE],
};

/** By the number of the request. */
export const messageShapes: ReadonlyMap<number, MessageShape> = new Map(
  (Object.keys(SHAPES) as RequestName[]).map((name) => {
    const [request, least, most, fds = 0, needs] = SHAPES[name];
    return [request, { name, request, least, most, fds, needs }];
  }),
);

/** The number of a request. */
export function requestOf(name: RequestName): number {
  return SHAPES[name][0];
}

/** Where fields are in payloads. All are little-endian. */
export const VringState = { INDEX: 0, NUM: 4, BYTES: 8 } as const;
export const VringAddress = { INDEX: 0, FLAGS: 4, DESCRIPTOR: 8, USED: 16, AVAILABLE: 24, LOG: 32 } as const;
/** In the u64 of SET_VRING_KICK, CALL and ERR: the ring, and that no descriptor comes. */
export const VringFd = { INDEX_MASK: 0xff, NONE: 0x100 } as const;
export const MemoryTable = { COUNT: 0, REGIONS: 8 } as const;
/** One region; in ADD_MEM_REG and REM_MEM_REG it is after eight bytes of padding. */
export const MemoryRegionField = { GUEST: 0, SIZE: 8, USER: 16, OFFSET: 24, BYTES: 32 } as const;
export const SINGLE_REGION = 8;
export const InflightField = { BYTES: 0, OFFSET: 8, QUEUES: 16, QUEUE_SIZE: 18 } as const;
export const StateField = { DIRECTION: 0, PHASE: 4 } as const;
/** In the reply to SET_DEVICE_STATE_FD: the front-end's descriptor is used, there is no other. */
export const NO_STATE_FD = 0x100;
export const ConfigField = { OFFSET: 0, SIZE: 4, FLAGS: 8, BYTES: 12 } as const;

/** What this end sends by itself. */
export const BackendRequest = { CONFIG_CHANGE: 2 } as const;

/** Payload of SET_LOG_BASE. */
export const LogField = { BYTES: 0, OFFSET: 8 } as const;
