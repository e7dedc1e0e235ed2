import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { V86 } from 'v86';
import type { QueueLayout } from 'virtio-ts/queue';

const RAM_BYTES = 16 * 1024 * 1024;

/** The parts of v86 0.5.462 that are used: its own virtqueue, as it is in its 9P device. */
interface Cpu {
  readonly mem8: Uint8Array<ArrayBuffer>;
  readonly devices: { readonly virtio_9p: { readonly virtio: Virtio } };
}

interface Virtio {
  readonly queues: readonly Queue[];
  readonly driver_feature: Uint32Array;
  raise_irq(type: number): void;
}

interface Queue {
  desc_addr: number;
  avail_addr: number;
  used_addr: number;
  enable(): void;
  reset(): void;
  set_size(size: number): void;
  has_request(): boolean;
  pop_request(): BufferChain;
  push_reply(chain: BufferChain): void;
  flush_replies(): void;
  notify_me_after(count: number): void;
}

interface BufferChain {
  length_written: number;
}

/** The device end of v86's own virtio devices, in an emulator that does not run. */
export class V86Queue {
  /** The emulator's memory. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #emulator: V86;
  readonly #queue: Queue;

  private constructor(emulator: V86, cpu: Cpu) {
    this.#emulator = emulator;
    const { buffer, byteOffset, length } = cpu.mem8;
    this.bytes = new Uint8Array(buffer, byteOffset, length);
    const { virtio } = cpu.devices.virtio_9p;
    // INDIRECT_DESC and EVENT_IDX. What an interrupt costs is not the queue's.
    virtio.driver_feature[0]! |= (1 << 28) | (1 << 29);
    virtio.raise_irq = () => {};
    this.#queue = virtio.queues[0]!;
  }

  static async open(): Promise<V86Queue> {
    const build = dirname(createRequire(import.meta.url).resolve('v86'));
    const emulator = new V86({
      wasm_path: join(build, 'v86.wasm'),
      memory_size: RAM_BYTES,
      filesystem: {},
      autostart: false,
      disable_keyboard: true,
      disable_mouse: true,
      disable_speaker: true,
    });
    await new Promise<void>((resolve) => emulator.add_listener('emulator-ready', () => resolve()));
    return new V86Queue(emulator, (emulator as unknown as { readonly v86: { readonly cpu: Cpu } }).v86.cpu);
  }

  setUp({ size, descriptorArea, driverArea, deviceArea }: QueueLayout): void {
    this.#queue.reset();
    this.#queue.set_size(size);
    this.#queue.desc_addr = descriptorArea;
    this.#queue.avail_addr = driverArea;
    this.#queue.used_addr = deviceArea;
    this.#queue.enable();
  }

  /** Uses everything that is there, as v86's devices do; how many chains. */
  serve(written: number): number {
    const queue = this.#queue;
    let count = 0;
    for (; queue.has_request(); count++) {
      const chain = queue.pop_request();
      chain.length_written = written;
      queue.push_reply(chain);
    }
    queue.flush_replies();
    queue.notify_me_after(0);
    return count;
  }

  close(): Promise<void> {
    return this.#emulator.destroy();
  }
}
