import type { GuestMemory, MemoryRegion } from '../../memory/guest-memory.ts';
import type { V86Cpu } from './emulator.ts';

/**
 * v86's guest memory as the one region of a GuestMemory.
 *
 * It lies in WebAssembly memory, whose buffer is replaced whenever v86 needs more for itself. That happens only inside
 * v86, so the region is brought up to date when v86 comes back to us: at each port access and after each slice of guest time.
 */
export class GuestRam {
  readonly #cpu: V86Cpu;
  readonly #memory: GuestMemory;
  readonly #region: MemoryRegion;
  #buffer: ArrayBuffer;

  constructor(cpu: V86Cpu, memory: GuestMemory) {
    this.#cpu = cpu;
    this.#memory = memory;
    this.#buffer = cpu.wasm_memory.buffer;
    this.#region = memory.add(0, this.#bytes());
    memory.onWrite = (address, length) => this.#written(address, length);
    const mainLoop = cpu.main_loop;
    cpu.main_loop = () => {
      const delayMs = mainLoop.call(cpu);
      this.refresh();
      return delayMs;
    };
  }

  /** Cheap when nothing has changed (measured: below 0.1 us). */
  refresh(): void {
    const { buffer } = this.#cpu.wasm_memory;
    if (buffer === this.#buffer) return;
    this.#buffer = buffer;
    this.#memory.replace(this.#region, this.#bytes());
  }

  /** The emulator is gone: the memory has no region any more. */
  remove(): void {
    this.#memory.onWrite = undefined;
    this.#memory.remove(this.#region);
  }

  /** v86 keeps compiled code by page: what a device writes may be code. */
  #written(address: number, length: number): void {
    if (length === 0) return;
    this.#cpu.jit_dirty_cache(address, address + length);
    this.refresh();
  }

  #bytes(): Uint8Array {
    const { byteOffset, length } = this.#cpu.mem8;
    return new Uint8Array(this.#buffer, byteOffset, length);
  }
}
