export * from './device.ts';
export * from './recorder.ts';
export * from './transports.ts';
