import { V86 } from 'v86';
import wasm from 'v86/build/v86.wasm?url';
import { Device } from 'virtio-ts/device';
import { BlockDevice } from 'virtio-ts/devices/block';
import { plugIn } from 'virtio-ts/hosts/v86';
import { GuestMemory } from 'virtio-ts/memory';
import { ioLayout, PciDevice } from 'virtio-ts/transports/pci';
import { disk } from './disk.ts';
import { loadMachine, storeMachine } from './saved-machine.ts';

const memory = new GuestMemory();
export const device = new Device(new BlockDevice(disk), memory);

export const emulator = new V86({
  wasm_path: wasm,
  memory_size: 128 << 20,
  bios: { url: 'guest/bios' },
  vga_bios: { url: 'guest/vgaBios' },
  bzimage: { url: 'guest/kernel' },
  initrd: { url: 'guest/initrd' },
  cmdline: [
    'console=ttyS0 noisapnp cryptomgr.notests',
    // What takes longest under emulation, and is of no use here.
    'initcall_blacklist=crypto_kdf108_init,load_system_certificate_list,init_kprobe_trace,oom_init',
  ].join(' '),
  uart1: true,
  // Else v86 takes the page's keys and mouse for the guest.
  disable_keyboard: true,
  disable_mouse: true,
  disable_speaker: true,
  autostart: true,
});
// In the same turn: the disk has to be there before the firmware looks for it.
plugIn(emulator, [{ pci: new PciDevice(device, { layout: ioLayout }) }], { memory });

/** Stops the processor, then brings the disk to rest. Should that fail, the guest goes on. */
export async function pause(): Promise<void> {
  await emulator.stop();
  try {
    await device.pause();
  } catch (error) {
    await emulator.run();
    throw error;
  }
}

/** Ends a pause. */
export async function goOn(): Promise<void> {
  device.continue();
  await emulator.run();
}

/** Stores the paused machine with its disk. */
export async function save(): Promise<void> {
  await storeMachine({ machine: await emulator.save_state(), disk: disk.snapshot() });
}

/** Puts the machine that was saved in the place of this one, both paused. */
export async function restore(): Promise<void> {
  const saved = await loadMachine();
  if (saved === undefined) throw new Error('nothing was saved yet');
  // A device that was reset has nothing to do when its pause ends, and is free for another's state.
  device.reset();
  device.continue();
  disk.restore(saved.disk);
  await emulator.restore_state(saved.machine);
}
