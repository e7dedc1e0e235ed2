export * from './device.ts';
export * from './layout.ts';
