import { PciCommon } from '../../spec/pci.ts';
import type { Located, PciAccess, PciStructureName } from '../trace.ts';

const { QUEUE_DESC, QUEUE_DRIVER, QUEUE_DEVICE } = PciCommon;

interface Field {
  readonly name: string;
  readonly width: number;
  /** The device's alone to write. */
  readonly isReadOnly: boolean;
}

/** The fields of the common configuration structure (§4.1.4.3); those of 64 bits in their halves. */
const FIELDS: ReadonlyMap<number, Field> = new Map([
  ...fields(4, [
    [PciCommon.DEVICE_FEATURE_SELECT, 'device_feature_select'],
    [PciCommon.DRIVER_FEATURE_SELECT, 'driver_feature_select'],
    [PciCommon.DRIVER_FEATURE, 'driver_feature'],
    ...[QUEUE_DESC, QUEUE_DESC + 4].map((at) => [at, 'queue_desc'] as const),
    ...[QUEUE_DRIVER, QUEUE_DRIVER + 4].map((at) => [at, 'queue_driver'] as const),
    ...[QUEUE_DEVICE, QUEUE_DEVICE + 4].map((at) => [at, 'queue_device'] as const),
  ]),
  ...fields(4, [[PciCommon.DEVICE_FEATURE, 'device_feature']], 'read only'),
  ...fields(2, [
    [PciCommon.CONFIG_MSIX_VECTOR, 'config_msix_vector'],
    [PciCommon.QUEUE_SELECT, 'queue_select'],
    [PciCommon.QUEUE_SIZE, 'queue_size'],
    [PciCommon.QUEUE_MSIX_VECTOR, 'queue_msix_vector'],
    [PciCommon.QUEUE_ENABLE, 'queue_enable'],
    [PciCommon.QUEUE_RESET, 'queue_reset'],
  ]),
  ...fields(
    2,
    [
      [PciCommon.NUM_QUEUES, 'num_queues'],
      [PciCommon.QUEUE_NOTIFY_OFF, 'queue_notify_off'],
      [PciCommon.QUEUE_NOTIF_CONFIG_DATA, 'queue_notif_config_data'],
      [PciCommon.ADMIN_QUEUE_INDEX, 'admin_queue_index'],
      [PciCommon.ADMIN_QUEUE_NUM, 'admin_queue_num'],
    ],
    'read only',
  ),
  ...fields(1, [[PciCommon.DEVICE_STATUS, 'device_status']]),
  ...fields(1, [[PciCommon.CONFIG_GENERATION, 'config_generation']], 'read only'),
]);

function fields(
  width: number,
  list: readonly (readonly [offset: number, name: string])[],
  access: 'read only' | 'read-write' = 'read-write',
): (readonly [number, Field])[] {
  return list.map(([offset, name]) => [offset, { name, width, isReadOnly: access === 'read only' }] as const);
}

/** The field of the common configuration structure that begins at an offset. */
export function commonField(offset: number): Field | undefined {
  return FIELDS.get(offset);
}

/** A handler that is called for accesses of one kind to one place of a structure. */
export function atPci(
  access: 'read' | 'write',
  structure: PciStructureName,
  offset: number,
  then: (event: Located<PciAccess>) => void,
): (event: Located<PciAccess>) => void {
  return (event) => {
    if (event.access === access && event.structure === structure && event.offset === offset) then(event);
  };
}
