import { MemoryDisk, OverlayDisk } from 'virtio-ts/storage';

// 32 MiB of zeroes; `bytes` of an image would do as well. What the guest writes stays in the overlay.
export const disk = new OverlayDisk(new MemoryDisk({ capacitySectors: 65536 }));
