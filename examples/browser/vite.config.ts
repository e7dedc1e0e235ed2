import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { guestFiles } from 'virtio-ts/machine';
import { type Connect, defineConfig, type Plugin } from 'vite';

/** Serves what the guest boots from, as made by `virtio guest`; the first time that takes a minute or two. */
function guest(): Plugin {
  const serve = async ({ middlewares }: { middlewares: Connect.Server }): Promise<void> => {
    const files = await guestFiles();
    for (const name of ['kernel', 'initrd', 'bios', 'vgaBios'] as const) {
      const file = files[name];
      if (file === undefined) continue;
      middlewares.use(
        `/guest/${name}`,
        (_, response) => void pipeline(createReadStream(file), response).catch(() => {}),
      );
    }
  };
  return { name: 'guest', configureServer: serve, configurePreviewServer: serve };
}

export default defineConfig({ root: import.meta.dirname, plugins: [guest()] });
