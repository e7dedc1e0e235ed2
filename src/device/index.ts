export * from './clock.ts';
export * from './device.ts';
export * from './device-options.ts';
export * from './device-type.ts';
export * from './saved-device.ts';
export * from './sealed.ts';
export * from './status-machine.ts';
export * from './transport.ts';
