import type { ServerEvent } from '../../hosts/vhost-user/server.ts';
import { serveVhostUserInWorker } from '../../hosts/vhost-user/worker.ts';
import { describeStatus } from '../../spec/status.ts';
import type { DiskServer, DiskServerOptions } from './disk-server.ts';
import type { DiskState, ImageEvent, ImageOptions } from './open-disk.ts';

export async function serveOverVhostUser(options: DiskServerOptions): Promise<DiskServer> {
  const { socket, image, readOnly, access, shared, queues, pollUs, onEvent, onLost } = options;
  const server = await serveVhostUserInWorker({
    path: socket,
    module: new URL('./vhost-image.js', import.meta.url),
    options: { image, readOnly, access, shared, queues } satisfies ImageOptions,
    ...(pollUs === undefined ? {} : { pollUs }),
    onEvent: ({ event, ...details }: ServerEvent) => onEvent(event, details),
    onTold: (what) => {
      const { event, ...details } = what as ImageEvent;
      onEvent(event, details);
    },
    onLost,
  });
  return {
    status: async () => {
      const { memory, queues: _, status, ...rest } = await server.status();
      const disk = (await server.command('disk')) as DiskState;
      const fixed = { protocol: options.protocol, socket, image };
      return { ...fixed, ...rest, status: describeStatus(status), memoryBytes: memory.bytes, disk };
    },
    pause: () => server.pause(),
    continue: () => server.continue(),
    save: () => server.save(),
    restore: (state) => server.restore(state),
    resize: async (bytes) => void (await server.command('resize', bytes)),
    close: () => server.close(),
  };
}
