/** The one text that every number in this folder and every section in this project's comments is taken from. */
export const specification = 'VIRTIO 1.4 cs01';
