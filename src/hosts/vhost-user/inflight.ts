import { ProtocolError } from '../../spec/fault.ts';
import { wholePages } from '../../unix/arena.ts';
import { type Window, windows } from '../../unix/windows.ts';
import { PackedInflight } from './inflight-packed.ts';
import type { InflightQueue } from './inflight-queue.ts';
import { SplitInflight } from './inflight-split.ts';

/** What GET_INFLIGHT_FD and SET_INFLIGHT_FD say. */
export interface InflightShape {
  readonly bytes: number;
  readonly fileOffset: number;
  readonly queues: number;
  readonly queueSize: number;
}

/** Of a packed queue, the larger one. */
const HEADER_BYTES = 32;
const ENTRY_BYTES = 32;
const ALIGNMENT = 64;

/**
 * Memory that the front-end keeps while back-ends come and go: what each queue has taken and not used is written there, so that
 * the next back-end does it again. Both sides can write it, so it is checked when it is read.
 */
export class Inflight {
  readonly #window: Window;
  readonly #shape: InflightShape;

  /** Maps the memory; the descriptor stays the caller's. Throws ProtocolError when it is too small for what it is to hold. */
  constructor(fd: number, shape: InflightShape) {
    if (shape.bytes < inflightBytes(shape) || shape.bytes > 2 ** 31) {
      throw new ProtocolError(
        'vhost.frontend.inflight.size',
        `${shape.bytes} bytes for ${shape.queues} queues in flight`,
      );
    }
    this.#shape = shape;
    this.#window = windows.take(wholePages(shape.bytes));
    try {
      const piece = { fd, fdOffset: shape.fileOffset, length: shape.bytes, writable: true };
      this.#window.arena.map(this.#window.offset, piece);
    } catch (error) {
      windows.release(this.#window);
      throw error;
    }
  }

  /** The record of a ring. Undefined for one that the front-end has left out, or made larger than it said. */
  queue(index: number, ringSize: number, format: 'split' | 'packed'): InflightQueue | undefined {
    const { queues, queueSize } = this.#shape;
    if (index >= queues || ringSize > queueSize) return undefined;
    const bytes = queueBytes(queueSize);
    const { arena, offset } = this.#window;
    const view = new DataView(arena.buffer, offset + index * bytes, bytes);
    return format === 'packed' ? new PackedInflight(view, ringSize) : new SplitInflight(view, ringSize);
  }

  close(): void {
    windows.release(this.#window);
  }
}

/** How much memory there has to be for so many queues of such a size, of either format. */
export function inflightBytes({ queues, queueSize }: Pick<InflightShape, 'queues' | 'queueSize'>): number {
  return queues * queueBytes(queueSize);
}

function queueBytes(queueSize: number): number {
  return Math.ceil((HEADER_BYTES + ENTRY_BYTES * queueSize) / ALIGNMENT) * ALIGNMENT;
}
