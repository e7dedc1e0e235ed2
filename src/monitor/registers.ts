import type { AccessWidth } from '../spec/access-width.ts';
import { Feature } from '../spec/features.ts';
import { Mmio } from '../spec/mmio.ts';
import { PciCommon } from '../spec/pci.ts';
import type { Session } from './session.ts';
import type { MmioAccess, PciAccess, QueueEnable, TraceEvent } from './trace.ts';

/** What a register is about, whatever the transport. The address fields come in halves. */
type Meaning =
  | 'status'
  | 'deviceFeatureSelect'
  | 'deviceFeature'
  | 'driverFeatureSelect'
  | 'driverFeature'
  | 'queueSelect'
  | 'queueSize'
  | 'queueEnable'
  | 'queueReset'
  | 'queueNotify'
  | 'notifyValue'
  | 'generation'
  | `${'descriptor' | 'driver' | 'device'}${'Low' | 'High'}`;

const MMIO: ReadonlyMap<number, Meaning> = new Map([
  [Mmio.STATUS, 'status'],
  [Mmio.DEVICE_FEATURES_SEL, 'deviceFeatureSelect'],
  [Mmio.DEVICE_FEATURES, 'deviceFeature'],
  [Mmio.DRIVER_FEATURES_SEL, 'driverFeatureSelect'],
  [Mmio.DRIVER_FEATURES, 'driverFeature'],
  [Mmio.QUEUE_SEL, 'queueSelect'],
  [Mmio.QUEUE_SIZE, 'queueSize'],
  [Mmio.QUEUE_READY, 'queueEnable'],
  [Mmio.QUEUE_RESET, 'queueReset'],
  [Mmio.QUEUE_NOTIFY, 'queueNotify'],
  [Mmio.CONFIG_GENERATION, 'generation'],
  ...halves(Mmio.QUEUE_DESC, Mmio.QUEUE_DRIVER, Mmio.QUEUE_DEVICE),
]);

const PCI: ReadonlyMap<number, Meaning> = new Map([
  [PciCommon.DEVICE_STATUS, 'status'],
  [PciCommon.DEVICE_FEATURE_SELECT, 'deviceFeatureSelect'],
  [PciCommon.DEVICE_FEATURE, 'deviceFeature'],
  [PciCommon.DRIVER_FEATURE_SELECT, 'driverFeatureSelect'],
  [PciCommon.DRIVER_FEATURE, 'driverFeature'],
  [PciCommon.QUEUE_SELECT, 'queueSelect'],
  [PciCommon.QUEUE_SIZE, 'queueSize'],
  [PciCommon.QUEUE_ENABLE, 'queueEnable'],
  [PciCommon.QUEUE_RESET, 'queueReset'],
  [PciCommon.QUEUE_NOTIF_CONFIG_DATA, 'notifyValue'],
  [PciCommon.CONFIG_GENERATION, 'generation'],
  ...halves(PciCommon.QUEUE_DESC, PciCommon.QUEUE_DRIVER, PciCommon.QUEUE_DEVICE),
]);

function halves(descriptor: number, driver: number, device: number): (readonly [number, Meaning])[] {
  return [
    [descriptor, 'descriptorLow'],
    [descriptor + 4, 'descriptorHigh'],
    [driver, 'driverLow'],
    [driver + 4, 'driverHigh'],
    [device, 'deviceLow'],
    [device + 4, 'deviceHigh'],
  ];
}

type Area = 'descriptor' | 'driver' | 'device';

/** What the driver has written of one queue since its last reset. */
interface QueueFields {
  size?: number;
  readonly halves: Map<Meaning, number>;
}

/** Says what accesses to registers mean, from the driver's selectors and the standard's tables of offsets. */
export class RegisterDecoder {
  readonly #session: Session;
  #deviceFeature = 0;
  #driverFeature = 0;
  #queue = 0;
  readonly #fields = new Map<number, QueueFields>();
  /** What notifications call a queue, where the device has given it a name (§4.1.5.2). */
  readonly #names = new Map<number, number>();

  constructor(session: Session) {
    this.#session = session;
  }

  /** The event that an access is; undefined for one that only prepares others, or means nothing. */
  decode(access: MmioAccess | PciAccess): TraceEvent | undefined {
    const { offset, width, value } = access;
    if (access.kind === 'mmio') {
      if (offset >= Mmio.CONFIG) return configEvent(access, offset - Mmio.CONFIG);
      const meaning = width === 4 ? MMIO.get(offset) : undefined;
      return meaning === undefined ? undefined : this.#register(meaning, access.access, value);
    }
    if (access.structure === 'device') return configEvent(access, offset);
    if (access.structure === 'notify' && access.access === 'write') return this.#kick(value);
    const meaning = access.structure === 'common' ? PCI.get(offset) : undefined;
    return meaning === undefined ? undefined : this.#register(meaning, access.access, value);
  }

  #register(meaning: Meaning, access: 'read' | 'write', value: number): TraceEvent | undefined {
    return access === 'read' ? this.#read(meaning, value) : this.#write(meaning, value);
  }

  #read(meaning: Meaning, value: number): TraceEvent | undefined {
    switch (meaning) {
      case 'status':
        return { kind: 'status.read', value: value & 0xff };
      case 'deviceFeature':
        return this.#deviceFeature > 3
          ? undefined
          : { kind: 'features.device', word: this.#deviceFeature, bits: value };
      case 'generation':
        return { kind: 'config.generation', value };
      case 'queueReset':
        return { kind: 'queue.reset.read', queue: this.#queue, value };
      case 'notifyValue':
        this.#names.set(value, this.#queue);
        return undefined;
      default:
        return undefined;
    }
  }

  #write(meaning: Meaning, value: number): TraceEvent | undefined {
    switch (meaning) {
      case 'status':
        if (value === 0) this.#fields.clear();
        return { kind: 'status.write', value: value & 0xff };
      case 'deviceFeatureSelect':
        this.#deviceFeature = value;
        return undefined;
      case 'driverFeatureSelect':
        this.#driverFeature = value;
        return undefined;
      case 'driverFeature':
        return this.#driverFeature > 3
          ? undefined
          : { kind: 'features.driver', word: this.#driverFeature, bits: value };
      case 'queueSelect':
        this.#queue = value & 0xffff;
        return undefined;
      case 'queueSize':
        this.#selected.size = value & 0xffff;
        return undefined;
      case 'queueEnable':
        return value === 1 ? this.#enable() : undefined;
      case 'queueReset':
        if (value !== 1) return undefined;
        this.#fields.delete(this.#queue);
        return { kind: 'queue.reset', queue: this.#queue };
      case 'queueNotify':
        return { kind: 'kick', queue: value & 0xffff };
      case 'deviceFeature':
      case 'generation':
      case 'notifyValue':
        return undefined;
      default:
        this.#selected.halves.set(meaning, value);
        return undefined;
    }
  }

  #kick(value: number): TraceEvent {
    const name = value & 0xffff;
    const queue = this.#session.has(Feature.NOTIF_CONFIG_DATA) ? (this.#names.get(name) ?? name) : name;
    return { kind: 'kick', queue };
  }

  #enable(): QueueEnable {
    const { size, halves: written } = this.#selected;
    const event: { -readonly [Member in keyof QueueEnable]: QueueEnable[Member] } = {
      kind: 'queue.enable',
      queue: this.#queue,
    };
    if (size !== undefined) event.size = size;
    for (const area of ['descriptor', 'driver', 'device'] as const) {
      const address = addressOf(area, written);
      if (address !== undefined) event[area] = address;
    }
    return event;
  }

  get #selected(): QueueFields {
    const known = this.#fields.get(this.#queue);
    if (known !== undefined) return known;
    const fields: QueueFields = { halves: new Map() };
    this.#fields.set(this.#queue, fields);
    return fields;
  }
}

/** The half that was not written is taken for 0. */
function addressOf(area: Area, written: ReadonlyMap<Meaning, number>): number | undefined {
  const low = written.get(`${area}Low`);
  const high = written.get(`${area}High`);
  return low === undefined && high === undefined ? undefined : (high ?? 0) * 0x1_0000_0000 + (low ?? 0);
}

function configEvent({ access, width, value }: MmioAccess | PciAccess, offset: number): TraceEvent | undefined {
  if (width !== 1 && width !== 2 && width !== 4) return undefined;
  return { kind: `config.${access}`, offset, width: width as AccessWidth, value };
}
