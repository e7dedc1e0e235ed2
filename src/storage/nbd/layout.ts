/** The numbers of the NBD protocol, fixed newstyle. All fields are big-endian. */

export const Magic = {
  /** "NBDMAGIC" and "IHAVEOPT", each as two halves. */
  INIT: [0x4e42_444d, 0x4147_4943],
  OPTION: [0x4948_4156, 0x454f_5054],
  OPTION_REPLY: [0x0003_e889, 0x0455_65a9],
  REQUEST: 0x2560_9513,
  SIMPLE_REPLY: 0x6744_6698,
  STRUCTURED_REPLY: 0x668e_33ef,
} as const;

/** What server and client say first. */
export const HandshakeFlag = { FIXED_NEWSTYLE: 1, NO_ZEROES: 2 } as const;

export const Option = { ABORT: 2, GO: 7, STRUCTURED_REPLY: 8 } as const;

export const OptionReply = { ACK: 1, INFO: 3, ERROR: 0x8000_0000 } as const;

/** What the errors of options mean, by their number without the high bit. */
export const optionErrors: readonly (string | undefined)[] = [
  undefined,
  'the server does not know this option',
  'the server does not allow it to this client',
  'the server finds the option wrong',
  'the server cannot do that on its platform',
  'the server wants TLS, which is not spoken here: reach it through a tunnel, or a Unix socket',
  'the server has no such export',
  'the server is shutting down',
  'the server wants a client that keeps to its block sizes',
  'the option is too long for the server',
];

export const Info = { EXPORT: 0, BLOCK_SIZE: 3 } as const;

/** What an export can do. */
export const ExportFlag = {
  /** Without it the others mean nothing. */
  HAS_FLAGS: 0x01,
  READ_ONLY: 0x02,
  SEND_FLUSH: 0x04,
  SEND_FUA: 0x08,
  SEND_TRIM: 0x20,
  SEND_WRITE_ZEROES: 0x40,
  CAN_MULTI_CONN: 0x100,
} as const;

export const CommandType = { READ: 0, WRITE: 1, DISCONNECT: 2, FLUSH: 3, TRIM: 4, WRITE_ZEROES: 6 } as const;
export type CommandType = (typeof CommandType)[keyof typeof CommandType];

export const CommandFlag = { FUA: 1, NO_HOLE: 2 } as const;

export const REQUEST_BYTES = 28;
export const SIMPLE_REPLY_BYTES = 16;
/** What a structured reply has more than a simple one, before its payload. */
export const STRUCTURED_REPLY_MORE_BYTES = 4;

export const ChunkFlag = { DONE: 1 } as const;

/** Kinds of structured replies; those from ERROR on are errors, known or not. */
export const ChunkType = { NONE: 0, OFFSET_DATA: 1, OFFSET_HOLE: 2, ERROR: 0x8000 } as const;

export const ESHUTDOWN = 108;

/** Errors of the server, by their number. */
export const serverErrors: Readonly<Record<number, string>> = {
  1: 'EPERM, it does not allow that',
  5: 'EIO, its medium reports an error',
  12: 'ENOMEM, it has not enough memory',
  22: 'EINVAL, it finds the request wrong',
  28: 'ENOSPC, it has no room',
  75: 'EOVERFLOW, the request is too long for it',
  95: 'ENOTSUP, it cannot do that',
  [ESHUTDOWN]: 'ESHUTDOWN, it is shutting down',
};
