import { StateError } from '../spec/fault.ts';

/** What a saved machine was, and what one has to be to go on from it. */
export interface MachineDescription {
  /** By program or format: a state of one version is not for another. */
  readonly versions: Readonly<Record<string, string>>;
  /** Of the guest. */
  readonly memoryBytes: number;
  readonly devices: readonly DescribedDevice[];
  readonly disks: readonly DescribedDisk[];
}

export interface DescribedDevice {
  /** PCI slot. */
  readonly slot: number;
  /** virtio device id. */
  readonly deviceId: number;
  readonly name: string;
}

export interface DescribedDisk {
  /** What the guest reads as the disk's serial number. */
  readonly identity: string;
  readonly capacitySectors: number;
  /** Of the image below the saved overlay; null when there is none. See `fingerprintDisk`. */
  readonly baseFingerprint: string | null;
}

export interface SectionEntry {
  readonly name: string;
  readonly bytes: number;
  readonly storedBytes: number;
  /** Of the bytes as stored. */
  readonly sha256: string;
  readonly compression: 'gzip';
}

export interface Manifest extends MachineDescription {
  readonly sections: readonly SectionEntry[];
}

/** Throws StateError unless every member is there and of its kind. The file may come from anywhere. */
export function checkManifest(value: unknown): asserts value is Manifest {
  const { versions, memoryBytes, devices, disks, sections } = members(value, 'manifest');
  const isText = (entry: unknown): boolean => typeof entry === 'string';
  require(Object.values(members(versions, 'versions')).every(isText), 'versions');
  require(isCount(memoryBytes), 'memoryBytes');
  for (const entry of list(devices, 'devices')) {
    const { slot, deviceId, name } = members(entry, 'devices');
    require(isCount(slot) && isCount(deviceId) && isText(name), 'devices');
  }
  for (const entry of list(disks, 'disks')) {
    const { identity, capacitySectors, baseFingerprint } = members(entry, 'disks');
    require(isText(identity) &&
      isCount(capacitySectors) &&
      (baseFingerprint === null || isText(baseFingerprint)), 'disks');
  }
  for (const entry of list(sections, 'sections')) {
    const { name, bytes, storedBytes, sha256, compression } = members(entry, 'sections');
    require(isText(name) && isCount(bytes) && isCount(storedBytes) && isText(sha256), 'sections');
    require(compression === 'gzip', 'sections');
  }
}

/** Throws StateError that names the first difference between a saved machine and the one that is to go on from it. */
export function checkSameMachine(saved: MachineDescription, expected: MachineDescription): void {
  for (const [name, version] of Object.entries(expected.versions)) {
    compare(`version of ${name}`, saved.versions[name] ?? 'unknown', version);
  }
  compare('memory in bytes', saved.memoryBytes, expected.memoryBytes);
  compare('number of devices', saved.devices.length, expected.devices.length);
  for (const device of expected.devices) {
    const other = saved.devices.find(({ slot }) => slot === device.slot);
    const kind = other === undefined ? 'nothing' : `virtio device ${other.deviceId}`;
    compare(`device in slot ${device.slot}`, kind, `virtio device ${device.deviceId}`);
  }
  compare('number of disks', saved.disks.length, expected.disks.length);
  for (const [index, disk] of expected.disks.entries()) {
    const other = saved.disks[index]!;
    compare(`identity of disk ${index}`, other.identity, disk.identity);
    compare(`capacity of disk ${index} in sectors`, other.capacitySectors, disk.capacitySectors);
    const [found, wanted] = [other.baseFingerprint ?? 'none', disk.baseFingerprint ?? 'none'];
    compare(`base image of disk ${index} ("${disk.identity}")`, found, wanted);
  }
}

function compare(what: string, saved: string | number, expected: string | number): void {
  if (saved === expected) return;
  throw new StateError(`another ${what}: the saved machine has ${saved}, this one has ${expected}`);
}

function members(value: unknown, name: string): Record<string, unknown> {
  require(typeof value === 'object' && value !== null && !Array.isArray(value), name);
  return value as Record<string, unknown>;
}

function list(value: unknown, name: string): readonly unknown[] {
  require(Array.isArray(value), name);
  return value as readonly unknown[];
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function require(condition: boolean, name: string): void {
  if (!condition) throw new StateError(`the file is corrupt: "${name}" of its manifest is not what it has to be`);
}
