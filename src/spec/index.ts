export * from './device-ids.ts';
export * from './fault.ts';
export * from './features.ts';
export * from './packed-ring.ts';
export * from './pci.ts';
export * from './split-ring.ts';
export * from './status.ts';
export * from './version.ts';
