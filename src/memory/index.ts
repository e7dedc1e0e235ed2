export * from './allocator.ts';
export * from './guest-memory.ts';
export * from './order.ts';
