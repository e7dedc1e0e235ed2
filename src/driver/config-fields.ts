import type { AccessWidth } from '../spec/access-width.ts';
import { ProtocolError } from '../spec/fault.ts';
import type { DriverTransport } from './transport.ts';

/** One field of a configuration space, by its offset; one of 8 bytes is read by its halves (§2.5.1). */
export interface ConfigField {
  readonly offset: number;
  readonly bytes: AccessWidth | 8;
}

const ATTEMPTS = 100;

/**
 * The values of these fields, all of one generation (§2.5.1), each in an access of its own width. Rejects with
 * ProtocolError when the generation does not settle.
 */
export async function readConfigFields<Name extends string>(
  transport: DriverTransport,
  fields: Readonly<Record<Name, ConfigField>>,
): Promise<Readonly<Record<Name, number>>> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const before = await transport.readConfigGeneration();
    const values: Partial<Record<Name, number>> = {};
    for (const name in fields) values[name] = await readField(transport, fields[name]);
    if ((await transport.readConfigGeneration()) === before) return values as Record<Name, number>;
  }
  throw new ProtocolError('config.device.generation', `the configuration changed during each of ${ATTEMPTS} reads`);
}

async function readField(transport: DriverTransport, { offset, bytes }: ConfigField): Promise<number> {
  if (bytes !== 8) return transport.readConfig(offset, bytes);
  const low = await transport.readConfig(offset, 4);
  return low + 2 ** 32 * (await transport.readConfig(offset + 4, 4));
}
