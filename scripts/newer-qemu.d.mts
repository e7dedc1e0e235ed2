/** The path of a QEMU that speaks vfio-user; undefined when there is none yet. */
export function newerQemu(): string | undefined;
/** Fetches one if there is none; says what cannot be had. */
export function installNewerQemu(say?: (line: string) => void): void;
