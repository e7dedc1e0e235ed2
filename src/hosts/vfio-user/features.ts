import { Errno, Feature, MIGRATION_STOP_COPY, migrationFlags, migrationState, type Request } from './messages.ts';
import type { Migration } from './migration.ts';
import { Refusal } from './refusal.ts';
import type { Answer } from './session.ts';
import type { Fields, Struct, Values } from './struct.ts';

const HEAD_BYTES = 8;

/** What can be done with each feature. */
const OPERATIONS: Readonly<Record<number, number>> = {
  [Feature.MIGRATION]: Feature.GET,
  [Feature.DEVICE_STATE]: Feature.GET | Feature.SET,
};

/** Gets, sets or probes one of the features that a device has: those for migration. Throws, or rejects with, Refusal. */
export function handleFeature(
  migration: Migration,
  request: Request<'feature'>,
  data: Uint8Array,
): Answer<'feature'> | Promise<Answer<'feature'>> {
  const { flags } = request;
  const feature = flags & Feature.INDEX;
  const operation = flags & (Feature.GET | Feature.SET);
  const can = OPERATIONS[feature];
  if (can === undefined) throw new Refusal(Errno.ENOTTY, `the device has no feature ${feature}`);
  if ((operation & ~can) !== 0) throw new Refusal(Errno.EINVAL, `feature ${feature} cannot do that`);
  if ((flags & Feature.PROBE) !== 0) return [request, data];
  if (operation === Feature.SET) return setState(migration, request, data);
  if (operation !== Feature.GET) throw new Refusal(Errno.EINVAL, 'a feature is either got or set');
  return feature === Feature.MIGRATION
    ? got(request, migrationFlags, { flags: MIGRATION_STOP_COPY })
    : got(request, migrationState, { state: migration.state, dataFd: 0 });
}

async function setState(
  migration: Migration,
  request: Request<'feature'>,
  data: Uint8Array,
): Promise<Answer<'feature'>> {
  if (data.length < migrationState.bytes) throw new Refusal(Errno.EINVAL, `${data.length} bytes are no state`);
  // The bytes belong to the message only until the first step is done.
  const echo = data.slice(0, migrationState.bytes);
  await migration.set(migrationState.read(new DataView(echo.buffer)).state);
  return [request, echo];
}

function got<F extends Fields>(request: Request<'feature'>, struct: Struct<F>, values: Values<F>): Answer<'feature'> {
  const argsz = HEAD_BYTES + struct.bytes;
  if (request.argsz < argsz) throw new Refusal(Errno.EINVAL, `the reply has ${argsz} bytes`);
  const data = new Uint8Array(struct.bytes);
  struct.write(new DataView(data.buffer), values);
  return [{ ...request, argsz }, data];
}
