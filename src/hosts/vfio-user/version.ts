import { MOST_DATA_BYTES } from './messages.ts';

/** What the two sides tell each other first: the capabilities, without those that are not given. */
export interface Capabilities {
  /** Descriptors that the sender takes in one message. */
  readonly maxMsgFds: number;
  readonly maxDataXferSize: number;
  readonly maxDmaMaps: number;
  /** Sizes of pages, each a bit. */
  readonly pgsizes: number;
  readonly writeMultiple: boolean;
}

/** The major and the minor version that are spoken here. */
export const MAJOR = 0;
export const MINOR = 1;

/** What a side has that does not say anything. */
const defaults: Capabilities = {
  maxMsgFds: 1,
  maxDataXferSize: MOST_DATA_BYTES,
  maxDmaMaps: 65535,
  pgsizes: 4096,
  writeMultiple: false,
};

/** The data of a version message, as JSON with a final zero. */
export function encodeCapabilities(capabilities: Capabilities): Uint8Array {
  const text = JSON.stringify({
    capabilities: {
      max_msg_fds: capabilities.maxMsgFds,
      max_data_xfer_size: capabilities.maxDataXferSize,
      max_dma_maps: capabilities.maxDmaMaps,
      pgsizes: capabilities.pgsizes,
      write_multiple: capabilities.writeMultiple,
    },
  });
  return new TextEncoder().encode(`${text}\0`);
}

/** Undefined for data that make no sense; unknown capabilities are passed over. No data say nothing. */
export function decodeCapabilities(data: Uint8Array): Capabilities | undefined {
  if (data.length === 0) return defaults;
  const end = data.indexOf(0);
  let given: unknown;
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(end < 0 ? data : data.subarray(0, end));
    given = text === '' ? {} : JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(given)) return undefined;
  const { capabilities = {} } = given;
  if (!isObject(capabilities)) return undefined;
  const number = (name: string, byDefault: number): number => {
    const value = capabilities[name] ?? byDefault;
    return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : Number.NaN;
  };
  const found: Capabilities = {
    maxMsgFds: number('max_msg_fds', defaults.maxMsgFds),
    maxDataXferSize: number('max_data_xfer_size', defaults.maxDataXferSize),
    maxDmaMaps: number('max_dma_maps', defaults.maxDmaMaps),
    pgsizes: number('pgsizes', defaults.pgsizes),
    writeMultiple: capabilities['write_multiple'] === true,
  };
  return Object.values(found).some((value) => Number.isNaN(value)) ? undefined : found;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
