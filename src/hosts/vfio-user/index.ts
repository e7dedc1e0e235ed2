export { VfioUserClient, type VfioUserClientOptions } from './client.ts';
export { ClientMemory } from './client-memory.ts';
export {
  serveVfioUser,
  type VfioUserEvent,
  type VfioUserOptions,
  VfioUserServer,
  type VfioUserStatus,
} from './server.ts';
