/** Makes v86 emulators in Node. */

import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { V86 } from 'v86';
import type { V86Emulator } from '../hosts/v86/emulator.ts';

const buildFolder = dirname(fileURLToPath(import.meta.resolve('v86')));

/** The version of the v86 package: its saved states are not those of another. */
export const v86Version: string = (
  createRequire(import.meta.url)(join(buildFolder, '../package.json')) as { version: string }
).version;

export interface EmulatorOptions {
  readonly memoryBytes: number;
  readonly bios: ArrayBuffer;
  readonly vgaBios: ArrayBuffer | undefined;
  /** Absent for a machine whose state will be restored. */
  readonly boot?: { readonly kernel: ArrayBuffer; readonly initrd: ArrayBuffer; readonly commandLine: string };
  /** A disk of v86's own IDE controller. */
  readonly ideDisk?: ArrayBuffer;
}

/** Makes an emulator, stopped. It has no devices yet: attach listeners before the next turn. */
export function makeEmulator(options: EmulatorOptions): V86Emulator {
  const { boot, vgaBios, ideDisk } = options;
  const emulator = new V86({
    wasm_path: join(buildFolder, 'v86.wasm'),
    memory_size: options.memoryBytes,
    acpi: false,
    uart1: true,
    bios: { buffer: options.bios },
    ...(vgaBios === undefined ? {} : { vga_bios: { buffer: vgaBios } }),
    ...(ideDisk === undefined ? {} : { hda: { buffer: ideDisk } }),
    ...(boot === undefined
      ? {}
      : { bzimage: { buffer: boot.kernel }, initrd: { buffer: boot.initrd }, cmdline: boot.commandLine }),
    disable_keyboard: true,
    disable_mouse: true,
    disable_speaker: true,
    autostart: false,
  });
  return emulator as unknown as V86Emulator;
}

/** Resolves when the emulator has its devices and can run. */
export function loaded(emulator: V86Emulator): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      emulator.remove_listener('emulator-loaded', done);
      restWhileIdle(emulator);
      resolve();
    };
    emulator.add_listener('emulator-loaded', done);
  });
}

/**
 * An idle guest waits for its next timer tick, 250 times a second. v86 spends the last millisecond before each in a loop of
 * Node's, a third of a core in all; here it sleeps to the end. An interrupt of a device still wakes the guest at once.
 */
function restWhileIdle({ v86: { cpu } }: V86Emulator): void {
  const mainLoop = cpu.main_loop;
  cpu.main_loop = () => {
    const delayMs = mainLoop.call(cpu);
    return delayMs > 0 ? Math.ceil(delayMs) : delayMs;
  };
}
