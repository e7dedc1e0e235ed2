import { once } from 'node:events';
import { chmodSync, unlinkSync } from 'node:fs';
import type { Server } from 'node:net';
import { TransportError } from '../../spec/fault.ts';
import { isLeftBehind } from '../../unix/socket.ts';

/**
 * Has a server listen at a Unix socket of this user alone, or at a port of this machine alone. A path that a process left
 * behind is taken over. Throws TransportError.
 */
export async function listenLocally(server: Server, at: string | number): Promise<void> {
  if (typeof at === 'string' && isLeftBehind(at)) unlinkSync(at);
  const listening = once(server, 'listening');
  try {
    if (typeof at === 'string') server.listen(at);
    else server.listen(at, '127.0.0.1');
    await listening;
  } catch (cause) {
    throw new TransportError(`cannot listen at ${at}: ${(cause as Error).message}`, { cause });
  }
  if (typeof at === 'string') chmodSync(at, 0o600);
}
