export { QtestMmioSlot } from './mmio-slots.ts';
export { QtestPciFunction } from './pci-bus.ts';
export { Qemu, type QemuOptions } from './qemu.ts';
export { QtestSocket } from './qtest-socket.ts';
