export type * from './abort-signal.ts';
export * from './config-fields.ts';
export * from './driver.ts';
export * from './driver-type.ts';
export * from './request-queue.ts';
export * from './status-wait.ts';
export * from './transport.ts';
