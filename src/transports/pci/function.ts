import type { AccessWidth } from '../../spec/access-width.ts';

/**
 * A virtio device as a PCI function (§4.1): what a host needs to plug it in. `pci.ts` next door makes one of a Device.
 */

/** A base address register; the address itself is the host's. */
export interface PciBar {
  readonly index: number;
  readonly kind: 'io' | 'memory';
  /** Bytes, a power of two. */
  readonly size: number;
}

export interface PciFunction {
  readonly name: string;
  readonly bars: readonly PciBar[];

  /** The 256 bytes of configuration space; a host that has its own copy starts from these. */
  readonly configSpace: Uint8Array;

  /** A configuration space access. Values are unsigned. A width or offset that makes no sense reads 0 and writes nothing. */
  readConfig(offset: number, width: AccessWidth): number;
  writeConfig(offset: number, width: AccessWidth, value: number): void;

  /** A BAR access, `offset` in the BAR. Values are unsigned 32 bit at most. */
  readBar(bar: number, offset: number, width: AccessWidth): number;
  writeBar(bar: number, offset: number, width: AccessWidth, value: number): void;

  /** Called with the new level of INTx whenever it changes. Set by the host. */
  onInterruptLine: ((asserted: boolean) => void) | undefined;
  readonly interruptLine: boolean;

  /** Called with each MSI-X message: a write of `data` to `address`. Set by a host that can deliver them. */
  onMessage?: ((address: number, data: number) => void) | undefined;

  /** Plain state (JSON) of the device and of the registers of this transport; only while the device is quiet. */
  save(): unknown;
  /** Validates and takes over a saved state; throws StateError that names what differs, and changes nothing then. */
  restore(state: unknown): void;
}
