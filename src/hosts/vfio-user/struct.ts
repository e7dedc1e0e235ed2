import { joinU64 } from '../../memory/guest-memory.ts';

/** How many bytes each field has, in the order in which they lie, without gaps. */
export type Fields = Readonly<Record<string, 2 | 4 | 8>>;

/** The values of fields: unsigned. One of 8 bytes beyond 2^53 is not exact, and still larger than all that are. */
export type Values<F extends Fields> = { readonly [Name in keyof F]: number };

/** A C structure, little-endian. */
export class Struct<F extends Fields> {
  readonly bytes: number;
  readonly #fields: readonly (readonly [name: string, offset: number, width: number])[];

  constructor(fields: F) {
    let offset = 0;
    this.#fields = Object.entries(fields).map(([name, width]) => {
      const field = [name, offset, width] as const;
      offset += width;
      return field;
    });
    this.bytes = offset;
  }

  /** Throws RangeError when `view` ends before the structure. */
  read(view: DataView, at = 0): Values<F> {
    const values: Record<string, number> = {};
    for (const [name, offset, width] of this.#fields) {
      values[name] =
        width === 2
          ? view.getUint16(at + offset, true)
          : width === 4
            ? view.getUint32(at + offset, true)
            : joinU64(view.getUint32(at + offset, true), view.getUint32(at + offset + 4, true));
    }
    return values as Values<F>;
  }

  write(view: DataView, values: Values<F>, at = 0): void {
    for (const [name, offset, width] of this.#fields) {
      const value = values[name]!;
      if (width === 2) view.setUint16(at + offset, value, true);
      else view.setUint32(at + offset, value % 2 ** 32, true);
      if (width === 8) view.setUint32(at + offset + 4, Math.floor(value / 2 ** 32), true);
    }
  }
}
