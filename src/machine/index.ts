export { defaultCacheFolder } from './cache-folder.ts';
export {
  Computer,
  type ComputerDisk,
  type ComputerOptions,
  type OpenComputerOptions,
  type PluggedDisk,
  type StartComputerOptions,
  type WritesTo,
} from './computer.ts';
export { fingerprintDisk } from './disk-fingerprint.ts';
export type { CommandResult } from './guest-commands.ts';
export { type GuestFileOptions, type GuestFiles, guestFiles, guestKernel } from './guest-files.ts';
export { moduleSets, suspendModuleSets } from './initramfs.ts';
export type { GuestArchitecture, KernelPackage } from './kernel-sources.ts';
export { defaultCommandLine, defaultMemoryBytes, Machine, type MachineOptions } from './machine.ts';
export { decodeOverlay, encodeOverlay } from './overlay-section.ts';
export type { OnProgress, ProgressStep } from './progress.ts';
export { type StartOptions, startMachine } from './ready-state.ts';
export { readSavedMachine, type SavedMachine, type Sections, writeSavedMachine } from './saved-machine.ts';
export type { DescribedDevice, DescribedDisk, MachineDescription } from './saved-machine-manifest.ts';
export type { SerialLine } from './serial-line.ts';
export {
  buildSuspendModules,
  ModulesUnavailable,
  type SuspendModules,
  type SuspendModulesOptions,
  suspendDiff,
  suspendSourceTree,
} from './suspend-modules.ts';
