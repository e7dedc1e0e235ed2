import { StateError } from '../../spec/fault.ts';

/** A position in v86's saved state that v86 does not use. */
const POSITION = 200;
const FORMAT = 'virtio-ts functions in v86';
const VERSION = 1;

/** What v86's own state lacks. */
export interface SavedFunctions {
  readonly functions: readonly SavedFunction[];
  /** The functions, v86's own among them, that assert their interrupt. */
  readonly asserted: readonly number[];
  /** By serial port: bytes that the guest has not read yet. */
  readonly serialInput: readonly (readonly number[])[];
}

export interface SavedFunction {
  readonly slot: number;
  /** What the driver sees: ids, class, BARs and capabilities. */
  readonly identity: string;
  readonly name: string;
  /** Null for a function that is to be reset. */
  readonly state: unknown;
}

/** Puts `saved` into a state of v86, as the text that v86's serializer can store. */
export function addSavedFunctions(state: unknown[], saved: SavedFunctions): unknown[] {
  state[POSITION] = JSON.stringify({ format: FORMAT, version: VERSION, ...saved });
  return state;
}

/** A function that is there, to compare with. */
export interface PresentFunction {
  readonly slot: number;
  readonly identity: string;
  readonly pci: { readonly name: string };
}

/**
 * Reads from a state of v86 what `addSavedFunctions` put there, and checks that it is of the same functions in the same
 * slots. Throws StateError that says what differs.
 */
export function readSavedFunctions(state: readonly unknown[], present: readonly PresentFunction[]): SavedFunctions {
  const saved = parse(state[POSITION]);
  for (const { slot, name, identity } of saved.functions) {
    const here = present.find((entry) => entry.slot === slot);
    if (here === undefined) {
      throw new StateError(`the saved machine has ${name} in slot ${slot}, this one has nothing there`);
    }
    if (here.identity !== identity) {
      throw new StateError(
        `the saved machine has ${name} in slot ${slot}, this one has ${here.pci.name}, which differs`,
      );
    }
  }
  for (const { slot, pci } of present) {
    if (saved.functions.some((entry) => entry.slot === slot)) continue;
    throw new StateError(`the saved machine has nothing in slot ${slot}, this one has ${pci.name}`);
  }
  return saved;
}

function parse(text: unknown): SavedFunctions {
  if (typeof text !== 'string') {
    throw new StateError('the saved machine was made without virtio-ts: it has no state of its functions');
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new StateError('the saved machine is corrupt: the state of its functions is no JSON');
  }
  if (typeof value !== 'object' || value === null) {
    throw new StateError('the saved machine is corrupt: the state of its functions is no object');
  }
  const saved = value as SavedFunctions & { format?: unknown; version?: unknown };
  if (saved.format !== FORMAT || saved.version !== VERSION) {
    throw new StateError(
      `the saved machine has functions in the form "${saved.format}" ${saved.version}, expected "${FORMAT}" ${VERSION}`,
    );
  }
  const isWhole = Array.isArray(saved.functions) && Array.isArray(saved.asserted) && Array.isArray(saved.serialInput);
  if (!isWhole) throw new StateError('the saved machine is corrupt: the state of its functions is incomplete');
  return saved;
}
