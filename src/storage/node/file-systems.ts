/** What statfs calls file systems that are told apart here. */
export const FileSystem = { EXT4: 0xef53, TMPFS: 0x0102_1994 } as const;
