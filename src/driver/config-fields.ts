import type { AccessWidth } from '../spec/access-width.ts';
import { ProtocolError } from '../spec/fault.ts';
import { type FeatureSet, hasFeature } from '../spec/features.ts';
import type { DriverTransport } from './transport.ts';

/** One field of a configuration space, by its offset; one of 8 bytes is read by its halves (§2.5.1). */
export interface ConfigField {
  readonly offset: number;
  readonly bytes: AccessWidth | 8;
  /** The feature without which the field is not there: it is left alone then, and its value is 0 (§2.5.1). */
  readonly feature?: number;
}

const ATTEMPTS = 100;

/**
 * The values of these fields of a device with `features`, all of one generation (§2.5.1), each in an access of its own width. Rejects with
 * ProtocolError when the generation does not settle.
 */
export async function readConfigFields<Name extends string>(
  transport: DriverTransport,
  features: FeatureSet,
  fields: Readonly<Record<Name, ConfigField>>,
): Promise<Readonly<Record<Name, number>>> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const before = await transport.readConfigGeneration();
    const values: Partial<Record<Name, number>> = {};
    for (const name in fields) {
      const field = fields[name];
      const isThere = field.feature === undefined || hasFeature(features, field.feature);
      values[name] = isThere ? await readField(transport, field) : 0;
    }
    if ((await transport.readConfigGeneration()) === before) return values as Record<Name, number>;
  }
  throw new ProtocolError('config.device.generation', `the configuration changed during each of ${ATTEMPTS} reads`);
}

async function readField(transport: DriverTransport, { offset, bytes }: ConfigField): Promise<number> {
  if (bytes !== 8) return transport.readConfig(offset, bytes);
  const low = await transport.readConfig(offset, 4);
  return low + 2 ** 32 * (await transport.readConfig(offset + 4, 4));
}
