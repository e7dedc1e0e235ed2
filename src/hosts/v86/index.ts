export type { V86Emulator, V86Instance } from './emulator.ts';
export {
  assignPlaces,
  type FunctionToPlug,
  type PlugInOptions,
  plugIn,
  type SavedAs,
  type V86Host,
} from './plug-in.ts';
export type { Place } from './plugged-function.ts';
