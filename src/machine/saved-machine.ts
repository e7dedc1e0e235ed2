/**
 * A saved machine as one file: everything that is needed to go on elsewhere, but the base images of the disks.
 *
 *     8  magic "VIRTIOTS"
 *     4  version of this format, little-endian, as is the next
 *     4  length of the manifest
 *    32  SHA-256 of the manifest
 *        the manifest, JSON
 *        the sections one after the other, in the manifest's order
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { StateError, TransportError } from '../spec/fault.ts';
import { writeFileAtomically } from './atomic-file.ts';
import {
  checkManifest,
  checkSameMachine,
  type MachineDescription,
  type Manifest,
  type SectionEntry,
} from './saved-machine-manifest.ts';

const MAGIC = 'VIRTIOTS';
const VERSION = 1;
const HEAD_BYTES = 48;

/** The sections of a saved machine, by name. */
export type Sections = ReadonlyMap<string, Uint8Array>;

export interface SavedMachine {
  readonly description: MachineDescription;
  readonly sections: Sections;
}

/**
 * Writes a saved machine. Whatever happens meanwhile, `path` holds the former file or the new one, whole. Throws
 * TransportError when it cannot be written.
 */
export async function writeSavedMachine(path: string, { description, sections }: SavedMachine): Promise<void> {
  const packed = await Promise.all(
    [...sections].map(async ([name, bytes]) => {
      const stored = await promisify(gzip)(bytes, { level: 1 });
      const entry = { name, bytes: bytes.length, storedBytes: stored.length, sha256: sha256(stored).toString('hex') };
      return { stored, entry: { ...entry, compression: 'gzip' as const } };
    }),
  );
  const manifest: Manifest = { ...description, sections: packed.map(({ entry }) => entry) };
  const text = Buffer.from(JSON.stringify(manifest));
  const head = Buffer.alloc(HEAD_BYTES);
  head.write(MAGIC, 'latin1');
  head.writeUInt32LE(VERSION, 8);
  head.writeUInt32LE(text.length, 12);
  sha256(text).copy(head, 16);
  try {
    await writeFileAtomically(path, [head, text, ...packed.map(({ stored }) => stored)]);
  } catch (cause) {
    throw new TransportError(`cannot save to ${path}: ${(cause as Error).message}`, { cause });
  }
}

/**
 * Reads a saved machine and checks all of it. `expected` is the machine that is to go on: what it says has to be as saved.
 * Throws TransportError when the file cannot be read; StateError that says what is wrong with it, or what differs.
 */
export async function readSavedMachine(path: string, expected?: MachineDescription): Promise<SavedMachine> {
  const file = await readFile(path).catch((cause: Error) => {
    throw new TransportError(`cannot read ${path}: ${cause.message}`, { cause });
  });
  try {
    const { manifest, end } = readManifest(file);
    checkLength(file.length, manifest, end);
    if (expected !== undefined) checkSameMachine(manifest, expected);
    const sections = await readSections(file, manifest, end);
    const { sections: _, ...description } = manifest;
    return { description, sections };
  } catch (error) {
    throw error instanceof StateError ? new StateError(`${path}: ${error.message}`) : error;
  }
}

function readManifest(file: Buffer): { manifest: Manifest; end: number } {
  if (file.toString('latin1', 0, 8) !== MAGIC) throw new StateError('this is no saved machine');
  if (file.length < HEAD_BYTES) throw truncated(HEAD_BYTES, file.length);
  const version = file.readUInt32LE(8);
  if (version !== VERSION) {
    throw new StateError(`a saved machine in version ${version} of the format, this program reads version ${VERSION}`);
  }
  const end = HEAD_BYTES + file.readUInt32LE(12);
  if (file.length < end) throw truncated(end, file.length);
  const text = file.subarray(HEAD_BYTES, end);
  if (!sha256(text).equals(file.subarray(16, HEAD_BYTES))) {
    throw new StateError('the file is corrupt: the checksum of its manifest is wrong');
  }
  const manifest: unknown = JSON.parse(text.toString());
  checkManifest(manifest);
  return { manifest, end };
}

function checkLength(length: number, manifest: Manifest, start: number): void {
  const expected = manifest.sections.reduce((sum, { storedBytes }) => sum + storedBytes, start);
  if (length < expected) throw truncated(expected, length);
  if (length > expected) throw new StateError(`the file is corrupt: ${length} bytes, expected ${expected}`);
}

async function readSections(file: Buffer, manifest: Manifest, start: number): Promise<Map<string, Uint8Array>> {
  let at = start;
  const parts = manifest.sections.map((entry) => {
    const stored = file.subarray(at, at + entry.storedBytes);
    at += entry.storedBytes;
    return { entry, stored };
  });
  for (const { entry, stored } of parts) {
    if (sha256(stored).toString('hex') !== entry.sha256) {
      throw new StateError(`the file is corrupt: the checksum of its section "${entry.name}" is wrong`);
    }
  }
  return new Map(
    await Promise.all(parts.map(async ({ entry, stored }) => [entry.name, await unpack(entry, stored)] as const)),
  );
}

async function unpack({ name, bytes }: SectionEntry, stored: Uint8Array): Promise<Uint8Array> {
  // Never unpacks much more than the manifest says, whatever the file says.
  const unpacked = await promisify(gunzip)(stored, { maxOutputLength: Math.max(1, bytes) }).catch((cause: Error) => {
    throw new StateError(`section "${name}" cannot be unpacked to ${bytes} bytes: ${cause.message}`);
  });
  if (unpacked.length !== bytes) {
    throw new StateError(`section "${name}" has ${unpacked.length} bytes, expected ${bytes}`);
  }
  return new Uint8Array(unpacked.buffer, unpacked.byteOffset, unpacked.length);
}

function truncated(expected: number, found: number): StateError {
  return new StateError(`the file is truncated: ${found} bytes of ${expected}`);
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}
