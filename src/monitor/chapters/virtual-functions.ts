import { Feature } from '../../spec/features.ts';
import { Status } from '../../spec/status.ts';
import type { Findings, Rule } from '../rule.ts';
import { atChoice } from './features.ts';
import { FunctionSpace } from './pci-space.ts';

/** Extended capabilities of PCI Express: u16 id, version, and from bit 20 on where the next one is. */
const FIRST = 0x100;
const NEXT_SHIFT = 20;
const MOST = 64;
/** That of SR-IOV, and of its control what enables virtual functions (PCIe 5.0, 9.3.3). */
const SR_IOV = { ID: 0x0010, CONTROL: 8, ENABLE: 0x0001 } as const;

/** Where the capability for virtual functions is; undefined where the driver has not come across one. */
function virtualFunctionsAt(space: FunctionSpace): number | undefined {
  let at = FIRST;
  for (let n = 0; n < MOST && at >= FIRST; n++) {
    const header = space.field(at, 4);
    if (header === undefined) return undefined;
    if ((header & 0xffff) === SR_IOV.ID) return at;
    at = header >>> NEXT_SHIFT;
  }
  return undefined;
}

export const virtualFunctionsNegotiated: Rule = {
  id: 'features.driver.reserved.11',
  section: '§6.1',
  level: 'MUST',
  role: 'driver',
  text: 'Virtual functions are enabled only when VIRTIO_F_SR_IOV was negotiated.',
  check: ({ session, passed, failed }: Findings) => {
    const space = new FunctionSpace();
    return {
      pci: (event) => {
        const at = virtualFunctionsAt(space);
        const isControl =
          event.structure === 'space' && event.access === 'write' && event.offset === (at ?? 0) + SR_IOV.CONTROL;
        if (at !== undefined && isControl && (event.value & SR_IOV.ENABLE) !== 0) {
          const isSettled = ((session.seen ?? 0) & Status.FEATURES_OK) !== 0;
          if (isSettled && session.has(Feature.SR_IOV)) passed();
          else failed('virtual functions are enabled without VIRTIO_F_SR_IOV', space.last);
        }
        space.follow(event);
      },
    };
  },
};

export const virtualFunctionsOffered: Rule = {
  id: 'features.device.reserved.8',
  section: '§6.2',
  level: 'SHOULD',
  role: 'device',
  text: 'A PCI function with the capability for virtual functions offers VIRTIO_F_SR_IOV.',
  check: (findings: Findings) => {
    const { session, passed, failed } = findings;
    const space = new FunctionSpace();
    return {
      pci: (event) => space.follow(event),
      ...atChoice(findings, () => {
        if (virtualFunctionsAt(space) === undefined || !session.knows(Feature.SR_IOV)) return;
        if (session.offers(Feature.SR_IOV)) passed();
        else failed('VIRTIO_F_SR_IOV is not offered', space.last);
      }),
    };
  },
};
