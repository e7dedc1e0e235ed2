export {
  discardDisk,
  flushDisk,
  readDisk,
  writeDisk,
  writeZeroesDisk,
} from './direct-request.ts';
export { diskContents } from './disk-contents.ts';
export type { DiskOptions } from './disk-options.ts';
export {
  FaultyDisk,
  type FaultyDiskOptions,
  fixedLatency,
  type LoggedOperation,
  seededLatency,
} from './faulty-disk.ts';
export { MemoryDisk, type MemoryDiskOptions } from './memory-disk.ts';
export { OverlayDisk, type OverlayDiskOptions, type OverlayStatistics } from './overlay-disk.ts';
export type { OverlayState } from './overlay-state.ts';
export { SimpleDisk, type SimpleDiskFunctions } from './simple-disk.ts';
export { WrappedDisk } from './wrapped-disk.ts';
