import { StateError } from '../spec/fault.ts';

/** A plain JSON value with its kind, version and checksum, so that a damaged or foreign one is noticed before it is used. */
export interface Sealed<Body> {
  readonly format: string;
  readonly version: number;
  /** CRC-32 of the body's JSON text. */
  readonly checksum: number;
  readonly body: Body;
}

export function seal<Body>(format: string, version: number, body: Body): Sealed<Body> {
  return { format, version, checksum: checksum(body), body };
}

/** The body, still of unknown shape. Throws StateError when it is not of this format and version, or was changed. */
export function unseal(saved: unknown, format: string, version: number): unknown {
  const value = saved as Partial<Sealed<unknown>> | null | undefined;
  if (typeof value !== 'object' || value === null || value.format !== format) {
    throw new StateError(`this is not a saved ${format}, but ${JSON.stringify(value)?.slice(0, 60)}`);
  }
  if (value.version !== version) {
    throw new StateError(`a saved ${format} of version ${value.version}; this program reads version ${version}`);
  }
  if (value.checksum !== checksum(value.body))
    throw new StateError(`the saved ${format} was damaged: its checksum is wrong`);
  return value.body;
}

const TABLE: Uint32Array = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  return c;
});

/** CRC-32 over the UTF-16 units of the JSON text; the text is ASCII but for messages. */
function checksum(body: unknown): number {
  const text = JSON.stringify(body) ?? '';
  let crc = 0xffff_ffff;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    crc = (crc >>> 8) ^ TABLE[(crc ^ unit) & 0xff]!;
    if (unit > 0xff) crc = (crc >>> 8) ^ TABLE[(crc ^ (unit >>> 8)) & 0xff]!;
  }
  return (crc ^ 0xffff_ffff) >>> 0;
}
