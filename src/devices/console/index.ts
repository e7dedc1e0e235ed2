export * from './device.ts';
export * from './driver.ts';
export { ConsoleConfig, ConsoleFeature, ConsoleQueue, type ConsoleSize, type SizeOrder } from './layout.ts';
