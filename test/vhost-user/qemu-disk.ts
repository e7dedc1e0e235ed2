/** The command line of a QEMU whose memory is shared, with a disk at a socket. */
export function vhostUserDisk(
  path: string,
  format: 'split' | 'packed',
  reconnect: 'never' | 'reconnect' = 'never',
): string[] {
  const again = reconnect === 'reconnect' ? ',reconnect=1' : '';
  return [
    ...['-object', 'memory-backend-memfd,id=memory,size=256M,share=on', '-machine', 'memory-backend=memory'],
    ...['-chardev', `socket,id=disk,path=${path}${again}`],
    ...[
      '-device',
      `vhost-user-blk-pci,chardev=disk,num-queues=1,disable-legacy=on${format === 'packed' ? ',packed=on' : ''}`,
    ],
  ];
}
