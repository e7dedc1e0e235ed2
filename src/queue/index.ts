export * from './buffer-list.ts';
export * from './chain.ts';
export * from './device-queue.ts';
export * from './driver-queue.ts';
export * from './packed-device-queue.ts';
export * from './packed-driver-queue.ts';
export * from './split-device-queue.ts';
export * from './split-driver-queue.ts';
