/** virtio over PCI (§4.1). */

export const PCI_VENDOR = 0x1af4;
/** PCI device id of a virtio device is this plus the virtio device id (§4.1.2.1). */
export const PCI_DEVICE_BASE = 0x1040;

/** PCI configuration space offsets. */
export const PciHeader = {
  VENDOR: 0x00,
  DEVICE: 0x02,
  COMMAND: 0x04,
  STATUS: 0x06,
  REVISION: 0x08,
  CLASS: 0x09,
  HEADER_TYPE: 0x0e,
  BAR0: 0x10,
  SUBSYSTEM_VENDOR: 0x2c,
  SUBSYSTEM: 0x2e,
  CAPABILITIES: 0x34,
  INTERRUPT_LINE: 0x3c,
  INTERRUPT_PIN: 0x3d,
} as const;

export const PciCommand = { IO: 0x0001, MEMORY: 0x0002, BUS_MASTER: 0x0004, INTX_DISABLE: 0x0400 } as const;
export const PciStatus = { INTERRUPT: 0x0008, CAPABILITIES: 0x0010 } as const;
export const PCI_CAPABILITY_VENDOR = 0x09;
export const PCI_CAPABILITY_MSIX = 0x11;

/** The MSI-X capability, from its id on, and the table it leads to (PCI 3.0, 6.8.2). */
export const Msix = {
  CONTROL: 2,
  TABLE: 4,
  PENDING: 8,
  BYTES: 12,
  /** Bits of the control register; the lowest 11 are the number of vectors less one. */
  ENABLE: 0x8000,
  MASK_ALL: 0x4000,
  LAST_VECTOR: 0x07ff,
  /** The BAR of table and pending bits is in the lowest 3 bits of their offset. */
  BAR_BITS: 7,
  ENTRY_BYTES: 16,
  ENTRY_ADDRESS: 0,
  ENTRY_DATA: 8,
  ENTRY_CONTROL: 12,
  /** Bit of an entry's control word. */
  MASKED: 1,
} as const;

/** struct virtio_pci_cap (§4.1.4). */
export const VirtioPciCap = {
  VENDOR: 0,
  NEXT: 1,
  LENGTH: 2,
  TYPE: 3,
  BAR: 4,
  ID: 5,
  OFFSET: 8,
  SIZE: 12,
  BYTES: 16,
  /** Only in 64-bit capabilities: the upper halves, and how long those are (§4.1.4.7). */
  OFFSET_HIGH: 16,
  SIZE_HIGH: 20,
  BYTES_64: 24,
  /** Only in the notification capability (§4.1.4.4). */
  NOTIFY_MULTIPLIER: 16,
  /** Only in the PCI configuration access capability (§4.1.4.9). */
  PCI_CFG_DATA: 16,
} as const;

/** cfg_type of a capability (§4.1.4). */
export const VirtioPciCapType = {
  COMMON: 1,
  NOTIFY: 2,
  ISR: 3,
  DEVICE: 4,
  PCI: 5,
  SHARED_MEMORY: 8,
  VENDOR: 9,
} as const;

/** struct virtio_pci_common_cfg (§4.1.4.3). */
export const PciCommon = {
  DEVICE_FEATURE_SELECT: 0,
  DEVICE_FEATURE: 4,
  DRIVER_FEATURE_SELECT: 8,
  DRIVER_FEATURE: 12,
  CONFIG_MSIX_VECTOR: 16,
  NUM_QUEUES: 18,
  DEVICE_STATUS: 20,
  CONFIG_GENERATION: 21,
  QUEUE_SELECT: 22,
  QUEUE_SIZE: 24,
  QUEUE_MSIX_VECTOR: 26,
  QUEUE_ENABLE: 28,
  QUEUE_NOTIFY_OFF: 30,
  QUEUE_DESC: 32,
  QUEUE_DRIVER: 40,
  QUEUE_DEVICE: 48,
  QUEUE_NOTIF_CONFIG_DATA: 56,
  QUEUE_RESET: 58,
  ADMIN_QUEUE_INDEX: 60,
  ADMIN_QUEUE_NUM: 62,
  BYTES: 64,
} as const;

/** ISR status bits (§4.1.4.5). */
export const Isr = { QUEUE: 1, CONFIG: 2 } as const;

/** "No vector" (§4.1.5.1.2). */
export const NO_VECTOR = 0xffff;
