export * from './direct.ts';
export * from './message-transport.ts';
export * from './messages.ts';
export * from './mmio.ts';
export * from './pci.ts';
export * from './serve.ts';
