import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { TransportError } from '../../spec/fault.ts';
import type { DiskServer } from './disk-server.ts';
import { listenLocally } from './local-listener.ts';
import { SECTOR_BYTES } from './open-disk.ts';

/** One line of JSON for each request, and one for each answer, in the same order. */
export interface ControlRequest {
  readonly command: ControlCommand;
  /** A saved state for `restore`, bytes for `resize`. */
  readonly argument?: unknown;
}

export type ControlAnswer =
  | { readonly ok: true; readonly result: unknown }
  | { readonly ok: false; readonly error: string };

export const CONTROL_COMMANDS = ['status', 'pause', 'continue', 'save', 'restore', 'resize'] as const;
export type ControlCommand = (typeof CONTROL_COMMANDS)[number];

/** A saved state of a device with many queues has far less. */
const MOST_LINE_CHARACTERS = 16 << 20;

/** Serves the commands of a disk server at a Unix socket. Throws TransportError when it cannot be had. */
export async function serveControl(path: string, disk: DiskServer): Promise<{ close(): void }> {
  const sockets = new Set<Socket>();
  // Who has asked may say that that was all, as `nc -N` does, and still wait for answers.
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy()).on('close', () => sockets.delete(socket));
    void converse(socket, disk);
  });
  await listenLocally(server, path);
  return {
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

async function converse(socket: Socket, disk: DiskServer): Promise<void> {
  let length = 0;
  socket.on('data', (bytes) => {
    length = bytes.includes(10) ? 0 : length + bytes.length;
    if (length > MOST_LINE_CHARACTERS) socket.destroy();
  });
  try {
    for await (const line of createInterface({ input: socket })) {
      const answer = await answerTo(line, disk);
      if (!socket.writable) return;
      socket.write(`${JSON.stringify(answer)}\n`);
    }
    socket.end();
  } catch {
    // Whoever asked is gone.
  }
}

/** The answer to one line; never rejects. */
export async function answerTo(line: string, disk: DiskServer): Promise<ControlAnswer> {
  try {
    const { command, argument } = parse(line);
    return { ok: true, result: (await perform(command, argument, disk)) ?? null };
  } catch (error) {
    return { ok: false, error: (error as Error).message };
  }
}

function parse(line: string): ControlRequest {
  let request: unknown;
  try {
    request = JSON.parse(line);
  } catch {
    throw new TransportError('a request is a line of JSON, as {"command":"status"}');
  }
  const { command } = (typeof request === 'object' && request !== null ? request : {}) as Partial<ControlRequest>;
  if (!CONTROL_COMMANDS.includes(command as ControlCommand)) {
    throw new TransportError(
      `there is no command ${JSON.stringify(command)}: there are ${CONTROL_COMMANDS.join(', ')}`,
    );
  }
  return request as ControlRequest;
}

async function perform(command: ControlCommand, argument: unknown, disk: DiskServer): Promise<unknown> {
  if (command === 'restore') return disk.restore(argument);
  if (command !== 'resize') return disk[command]();
  if (!Number.isSafeInteger(argument) || (argument as number) <= 0 || (argument as number) % SECTOR_BYTES !== 0) {
    throw new TransportError(`a disk has a multiple of ${SECTOR_BYTES} bytes, not ${JSON.stringify(argument)}`);
  }
  return disk.resize(argument as number);
}

/** Asks a server at its control socket. Throws TransportError when there is none, or when it says no. */
export async function control(path: string, request: ControlRequest): Promise<unknown> {
  const socket = connect(path);
  try {
    await once(socket, 'connect').catch((cause: Error) => {
      throw new TransportError(`no server answers at ${path}: ${cause.message}`, { cause });
    });
    socket.write(`${JSON.stringify(request)}\n`);
    for await (const line of createInterface({ input: socket })) {
      const answer = JSON.parse(line) as ControlAnswer;
      if (answer.ok) return answer.result;
      throw new TransportError(`${path}: ${answer.error}`);
    }
    throw new TransportError(`the server at ${path} has ended without an answer`);
  } finally {
    socket.destroy();
  }
}
