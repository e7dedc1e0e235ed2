/** The other end did not do what a case waits for. */
export class CaseFailed extends Error {}

export function expect(holds: unknown, otherwise: string): void {
  if (!holds) throw new CaseFailed(otherwise);
}
