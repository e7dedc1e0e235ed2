/** virtio over MMIO, version 2 (§4.2.2). All registers are 32 bit wide; the configuration space is bytes from CONFIG on. */
export const Mmio = {
  MAGIC_VALUE: 0x000,
  VERSION: 0x004,
  DEVICE_ID: 0x008,
  VENDOR_ID: 0x00c,
  DEVICE_FEATURES: 0x010,
  DEVICE_FEATURES_SEL: 0x014,
  DRIVER_FEATURES: 0x020,
  DRIVER_FEATURES_SEL: 0x024,
  QUEUE_SEL: 0x030,
  QUEUE_SIZE_MAX: 0x034,
  QUEUE_SIZE: 0x038,
  QUEUE_READY: 0x044,
  QUEUE_NOTIFY: 0x050,
  INTERRUPT_STATUS: 0x060,
  INTERRUPT_ACK: 0x064,
  STATUS: 0x070,
  QUEUE_DESC: 0x080,
  QUEUE_DRIVER: 0x090,
  QUEUE_DEVICE: 0x0a0,
  SHM_SEL: 0x0ac,
  SHM_LEN: 0x0b0,
  SHM_BASE: 0x0b8,
  QUEUE_RESET: 0x0c0,
  CONFIG_GENERATION: 0x0fc,
  CONFIG: 0x100,
} as const;

/** "virt", little-endian. */
export const MMIO_MAGIC = 0x74726976;
export const MMIO_VERSION = 2;

/** InterruptStatus and InterruptACK bits. */
export const MmioInterrupt = { USED_BUFFER: 1, CONFIG_CHANGE: 2 } as const;
