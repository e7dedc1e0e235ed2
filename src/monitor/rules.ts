import { blockDevice } from './chapters/block-device.ts';
import { blockDriver } from './chapters/block-driver.ts';
import { blockInit } from './chapters/block-init.ts';
import { blockZones } from './chapters/block-zones.ts';
import { config } from './chapters/config.ts';
import { consoleDevice } from './chapters/console.ts';
import { consolePorts } from './chapters/console-ports.ts';
import { entropy } from './chapters/entropy.ts';
import { features } from './chapters/features.ts';
import { init } from './chapters/init.ts';
import { mmioDevice } from './chapters/mmio-device.ts';
import { mmioDriver } from './chapters/mmio-driver.ts';
import { mmioOperation } from './chapters/mmio-operation.ts';
import { move } from './chapters/move.ts';
import { packed } from './chapters/packed.ts';
import { pciCommonDevice } from './chapters/pci-common-device.ts';
import { pciCommonDriver } from './chapters/pci-common-driver.ts';
import { pciFunction } from './chapters/pci-function.ts';
import { pciInterrupts } from './chapters/pci-interrupts.ts';
import { pciMsix } from './chapters/pci-msix.ts';
import { pciNotify } from './chapters/pci-notify.ts';
import { pciStructures } from './chapters/pci-structures.ts';
import { queues } from './chapters/queues.ts';
import { reservedFeatures } from './chapters/reserved-features.ts';
import { reset } from './chapters/reset.ts';
import { split } from './chapters/split.ts';
import { splitNotifications } from './chapters/split-notifications.ts';
import { status } from './chapters/status.ts';
import { suspendDevice } from './chapters/suspend-device.ts';
import { suspendDriver } from './chapters/suspend-driver.ts';
import type { Requirement, Rule } from './rule.ts';

/** Every requirement of the chapters that are judged, in the order of the standard: a rule, or why there can be none. */
export const requirements: readonly Requirement[] = [
  ...status,
  ...features,
  ...reset,
  ...config,
  ...split,
  ...splitNotifications,
  ...packed,
  ...queues,
  ...init,
  ...suspendDriver,
  ...suspendDevice,
  ...move,
  ...pciFunction,
  ...pciCommonDevice,
  ...pciCommonDriver,
  ...pciStructures,
  ...pciInterrupts,
  ...pciMsix,
  ...pciNotify,
  ...mmioDevice,
  ...mmioDriver,
  ...mmioOperation,
  ...blockInit,
  ...blockDriver,
  ...blockDevice,
  ...blockZones,
  ...consoleDevice,
  ...consolePorts,
  ...entropy,
  ...reservedFeatures,
];

export const rules: readonly Rule[] = requirements.filter((requirement) => 'check' in requirement);
