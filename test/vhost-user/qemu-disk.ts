export type RingFormat = 'split' | 'packed';

export interface QemuDiskOptions {
  /** Connects again when the back-end is gone: a parameter of the chardev, whose name depends on the version of QEMU. */
  readonly reconnect?: 'reconnect=1' | 'reconnect-ms=50';
  readonly queues?: number;
  /** Starts from it, before others. */
  readonly boot?: boolean;
}

/** The command line of a QEMU whose memory is shared, with a disk at a socket. */
export function vhostUserDisk(path: string, format: RingFormat, options: QemuDiskOptions = {}): string[] {
  const { reconnect, queues = 1, boot = false } = options;
  const device = [
    `vhost-user-blk-pci,chardev=disk,num-queues=${queues},disable-legacy=on`,
    ...(format === 'packed' ? ['packed=on'] : []),
    ...(boot ? ['bootindex=0'] : []),
  ];
  return [
    ...['-object', 'memory-backend-memfd,id=memory,size=256M,share=on', '-machine', 'memory-backend=memory'],
    ...['-chardev', `socket,id=disk,path=${path}${reconnect === undefined ? '' : `,${reconnect}`}`],
    ...['-device', device.join(',')],
  ];
}
