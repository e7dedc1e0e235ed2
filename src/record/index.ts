export * from './device.ts';
export * from './queues-seen.ts';
export * from './recorder.ts';
export * from './seen-memory.ts';
export * from './transports.ts';
