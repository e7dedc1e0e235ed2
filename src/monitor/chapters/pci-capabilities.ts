import type { Check, Findings } from '../rule.ts';
import { type FunctionSpace, type VirtioCapability, whenFound } from './pci-space.ts';

/** There is a capability of a type. */
export function hasCapability(type: number, what: string): (findings: Findings) => Check {
  return ({ passed, failed }) =>
    whenFound((space) => {
      if (space.virtio.some((capability) => capability.type === type)) passed();
      else failed(`no capability is of ${what}`, space.last);
    });
}

/** Judges each capability of some type; `isRight` says undefined where what it needs was not read. */
export function eachCapability(
  types: readonly number[],
  what: string,
  isRight: (capability: VirtioCapability, space: FunctionSpace) => boolean | undefined,
): (findings: Findings) => Check {
  return ({ passed, failed }) =>
    whenFound((space) => {
      for (const capability of space.virtio) {
        if (capability.type === undefined || !types.includes(capability.type)) continue;
        const verdict = isRight(capability, space);
        if (verdict === true) passed();
        if (verdict === false) failed(`${what}, of the capability at 0x${capability.at.toString(16)}`, space.last);
      }
    });
}

/** At a multiple of 4, in its BAR. */
export function isAligned({ offset }: VirtioCapability): boolean | undefined {
  return offset === undefined ? undefined : offset % 4 === 0;
}
