import { VirtioPciCap, VirtioPciCapType } from '../../spec/pci.ts';
import type { Rule } from '../rule.ts';
import { FunctionSpace, type VirtioCapability } from './pci-space.ts';

const { COMMON, NOTIFY, ISR, DEVICE, PCI, SHARED_MEMORY } = VirtioPciCapType;
const DEFINED: ReadonlySet<number | undefined> = new Set(Object.values(VirtioPciCapType));
const STRUCTURES: readonly (number | undefined)[] = [COMMON, NOTIFY, ISR, DEVICE];
/** BARs are 0 to 5. */
const MOST_BAR = 5;
/** Of struct virtio_pci_common_cfg, and of the ISR status. */
const DESCRIBED: ReadonlyMap<number | undefined, number> = new Map([
  [COMMON, 64],
  [ISR, 1],
]);

/** As long as it is described. */
function describedBytes(type: number | undefined): number {
  if (type === NOTIFY || type === PCI) return VirtioPciCap.NOTIFY_MULTIPLIER + 4;
  return type === SHARED_MEMORY ? VirtioPciCap.BYTES_64 : VirtioPciCap.BYTES;
}

/**
 * A driver gets along with a function that has something odd among its capabilities, and all that is needed, too: it goes on to the
 * structures. One that has looked at them all and never does has not.
 */
function copes(rule: Pick<Rule, 'id' | 'text'>, what: string, isOdd: (capability: VirtioCapability) => boolean): Rule {
  return {
    ...rule,
    section: '§4.1.4.1',
    level: 'MUST',
    role: 'driver',
    check: ({ passed, failed }) => {
      const space = new FunctionSpace();
      let goesOn = false;
      const odd = (): VirtioCapability | undefined => {
        const sound =
          (type: number) =>
          ({ type: of, bar = 0 }: VirtioCapability): boolean =>
            of === type && bar <= MOST_BAR;
        const isWhole = [COMMON, NOTIFY, ISR].every((type) => space.virtio.some(sound(type)));
        return space.isComplete && isWhole ? space.virtio.find(isOdd) : undefined;
      };
      return {
        pci: (event) => {
          if (event.structure === 'space') space.follow(event);
          else if (!goesOn) {
            goesOn = true;
            if (odd() !== undefined) passed();
          }
        },
        end: () => {
          const capability = goesOn ? undefined : odd();
          if (capability !== undefined)
            failed(
              `the driver does not go on after the capability at 0x${capability.at.toString(16)}, ${what}`,
              space.last,
            );
        },
      };
    },
  };
}

export const oddCapabilities: readonly Rule[] = [
  copes(
    { id: 'pci.driver.cap.1', text: 'Capabilities of types that are not defined are passed over.' },
    'whose type is not defined',
    ({ type }) => type !== undefined && !DEFINED.has(type),
  ),
  copes(
    { id: 'pci.driver.cap.3', text: 'A capability may be longer than it is described.' },
    'which is longer than it is described',
    ({ type, bytes }) => type !== VirtioPciCapType.VENDOR && DEFINED.has(type) && (bytes ?? 0) > describedBytes(type),
  ),
  copes(
    { id: 'pci.driver.cap.4', text: 'Capabilities with a BAR that there cannot be are passed over.' },
    'whose BAR there cannot be',
    ({ type, bar }) => STRUCTURES.includes(type) && (bar ?? 0) > MOST_BAR,
  ),
  copes(
    { id: 'pci.driver.cap.6', text: 'A structure may be larger than it is described.' },
    'whose structure is larger than it is described',
    ({ type, length }) => (length ?? 0) > (DESCRIBED.get(type) ?? Number.POSITIVE_INFINITY),
  ),
];
