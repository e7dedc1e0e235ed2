/** Writer of the archives that Linux unpacks into its first file system: cpio, the "newc" form. */

export interface ArchiveEntry {
  /** Relative to the root, without a leading slash. */
  readonly path: string;
  /** File type and permissions as in st_mode. */
  readonly mode: number;
  readonly data?: Uint8Array;
  /** Of a device node. */
  readonly device?: { readonly major: number; readonly minor: number };
}

export const FileMode = { FOLDER: 0o040755, FILE: 0o100644, PROGRAM: 0o100755, CHARACTER_DEVICE: 0o020600 } as const;

/** The archive of `entries` in their order; a folder comes before what is in it. */
export function packArchive(entries: readonly ArchiveEntry[]): Uint8Array {
  const pieces: Uint8Array[] = [];
  for (const [index, entry] of entries.entries()) pieces.push(...packEntry(entry, index + 1));
  pieces.push(...packEntry({ path: 'TRAILER!!!', mode: 0 }, 0));
  return Buffer.concat(pieces);
}

function packEntry(entry: ArchiveEntry, inode: number): Uint8Array[] {
  const data = entry.data ?? new Uint8Array(0);
  const name = new TextEncoder().encode(`${entry.path}\0`);
  const { major, minor } = entry.device ?? { major: 0, minor: 0 };
  // Inode, mode, owner, group, links, time, size, device, device of the node, length of the name, no checksum.
  const fields = [inode, entry.mode, 0, 0, 1, 0, data.length, 0, 0, major, minor, name.length, 0];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
  const head = new TextEncoder().encode(header);
  return [head, name, padding(head.length + name.length), data, padding(data.length)];
}

/** Names and data each end at a multiple of four bytes. */
function padding(length: number): Uint8Array {
  return new Uint8Array((4 - (length % 4)) % 4);
}
