export * from './direct.ts';
export * from './pci.ts';
