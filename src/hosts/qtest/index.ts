export { QtestMmioSlot } from './mmio-slots.ts';
export { QtestPciFunction } from './pci-bus.ts';
export { QEMU, Qemu, type QemuOptions } from './qemu.ts';
export { qemuSays } from './qemu-process.ts';
export { QtestSocket } from './qtest-socket.ts';
export { type QemuBus, type QemuDevice, virtioMachine } from './virtio-machine.ts';
