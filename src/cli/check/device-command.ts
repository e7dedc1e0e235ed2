import { resolve } from 'node:path';
import { Argument, type Command, InvalidArgumentError, Option } from 'commander';
import type { QemuBus } from '../../hosts/qtest/virtio-machine.ts';
import type { TraceTransport } from '../../monitor/trace.ts';
import { TransportError } from '../../spec/fault.ts';
import type { FeatureSet } from '../../spec/features.ts';
import { fileName } from '../argument.ts';
import { isSector } from './bench.ts';
import { deviceCases } from './device-cases.ts';
import { addCheckOptions, type CaseOptions, CHOSEN_RINGS, check, declinedFor } from './ends.ts';
import { HandDriver } from './hand-driver.ts';
import { ownCases } from './own-device.ts';
import { type Reach, type Reached, reachVfioUser, reachVhostUser } from './peers.ts';
import { findQemu, reachQemu } from './qemu-disk.ts';
import { type CheckCase, type NamedCase, within } from './run-cases.ts';
import { SeenDisk } from './seen-disk.ts';
import { whyNot } from './why-not.ts';

/** The command line's names of the ways to a device of ours. */
const OWN_WAYS: Readonly<Record<string, TraceTransport>> = { loopback: 'direct', pci: 'pci', mmio: 'mmio' };

/** Of the ways to a device that listens at a socket. */
const SOCKET_WAYS: Readonly<Record<string, (path: string) => Promise<Reached>>> = {
  'vhost-user': reachVhostUser,
  'vfio-user': reachVfioUser,
};

/** Of the ways to a device of a QEMU that is started for it. */
const QEMU_WAYS: Readonly<Record<string, QemuBus>> = {
  'qemu-pci': 'pci',
  'qemu-msix': 'pci msix',
  'qemu-mmio': 'mmio',
};

const HELP = `
loopback, pci and mmio are ways to the devices of this project: block, and where buffers wait console, entropy and network.

Over vhost-user and vfio-user a block device of any program is judged that listens at the socket and serves nobody else meanwhile:
  virtio serve block --image disk.img --vhost-user /tmp/disk.sock
  virtio check device vhost-user /tmp/disk.sock
Its disk, of 64 sectors at least, is only read.

Over qemu-pci (INTx), qemu-msix (PCI with MSI-X) and qemu-mmio QEMU's own block device is judged, without a guest: each case starts a QEMU.

Of these, what takes more than to be its driver, or a feature that it does not offer, is not exercised.
`;

export function deviceCommand(checkCommand: Command): void {
  const command = checkCommand
    .command('device')
    .addArgument(
      new Argument('<way>', 'how to reach the device').choices(
        [OWN_WAYS, SOCKET_WAYS, QEMU_WAYS].flatMap((ways) => Object.keys(ways)),
      ),
    )
    .argument('[socket]', 'where the device listens, for vhost-user and vfio-user', fileName)
    .description('play the driver, and judge a device')
    .addOption(
      new Option('--limit <seconds>', 'how long the device may take for one case').argParser(seconds).default(20),
    )
    .option(
      '--qemu <program>',
      'the QEMU to start, for qemu-pci, qemu-msix and qemu-mmio (default: the one on PATH)',
      fileName,
    )
    .addHelpText('after', HELP)
    .hook('preAction', () => {
      const [way, socket] = command.processedArgs as [string, string | undefined];
      const isSocket = Object.hasOwn(SOCKET_WAYS, way);
      if (isSocket && socket === undefined)
        command.error(`error: ${way} needs the socket at which the device listens.`);
      if (!isSocket && socket !== undefined) command.error(`error: ${way} has no socket.`);
      if (!Object.hasOwn(QEMU_WAYS, way) && command.opts<DeviceOptions>().qemu !== undefined)
        command.error(`error: --qemu is for ${Object.keys(QEMU_WAYS).join(', ')}.`);
    });
  addCheckOptions(command).action(checkDevice);
}

interface DeviceOptions extends CaseOptions {
  readonly limit: number;
  readonly qemu?: string;
}

async function checkDevice(way: string, socket: string | undefined, options: DeviceOptions): Promise<void> {
  const limitMs = options.limit * 1000;
  const own = OWN_WAYS[way];
  if (own !== undefined) {
    await check({ role: 'device', way, title: `The devices over ${way}`, limitMs }, ownCases({ way: own }), options);
    return;
  }
  const peer = socket === undefined ? await qemuPeer(way, options.qemu) : socketPeer(way, socket);
  const { title, place } = peer;
  const known = await within(limitMs, lookAt(peer.reach)).catch((cause: Error) => {
    throw new TransportError(`no device to judge ${place}: ${cause.message}`, { cause });
  });
  await check({ role: 'device', way, title, limitMs }, peerCases(peer, known), options);
}

/** A block device that is elsewhere. */
interface Peer {
  readonly title: string;
  /** Where it is, for an error. */
  readonly place: string;
  readonly reach: Reach;
  isSector(sector: number, bytes: Uint8Array): boolean;
}

function socketPeer(way: string, socket: string): Peer {
  const path = resolve(socket);
  const reach = (): Promise<Reached> => SOCKET_WAYS[way]!(path);
  const { isSector } = new SeenDisk();
  return { title: `The device at ${path}, over ${way}`, place: `at ${path} over ${way}`, reach, isSector };
}

async function qemuPeer(way: string, wanted: string | undefined): Promise<Peer> {
  const { program, version, everything } = await findQemu(wanted);
  const reach = (): Promise<Reached> => reachQemu(program, QEMU_WAYS[way]!, everything);
  return { title: `The block device of QEMU ${version}, over ${way}`, place: `in QEMU ${version}`, reach, isSector };
}

/** Each case reaches the device anew; the driver begins with a reset. */
function peerCases({ reach, isSector }: Peer, { offered, hasRegisters }: Known): NamedCase[] {
  return CHOSEN_RINGS.flatMap(({ name: ring, offer }) => {
    const declined = declinedFor(offer);
    return deviceCases.map((deviceCase) => ({
      name: `${deviceCase.name} (${ring})`,
      whyNot: whyNot(deviceCase, offer, offered, hasRegisters),
      prepare: async (): Promise<CheckCase> => {
        const reached = await reach();
        const { trace, close } = reached;
        const driver = new HandDriver({ ...reached, declined, isSector });
        if (deviceCase.needs !== undefined) throw new RangeError('there is nothing behind the device to steer');
        return { trace, run: () => deviceCase.run(driver).then(() => driver.settle()), close };
      },
    }));
  });
}

/** What is known of a device before it is judged. */
interface Known {
  readonly offered: FeatureSet;
  readonly hasRegisters: boolean;
}

/** What a device offers, after a reset. */
async function lookAt(reach: Reach): Promise<Known> {
  const { transport, registers, close } = await reach();
  try {
    await transport.writeStatus(0);
    await transport.writeStatus(0x01);
    await transport.writeStatus(0x03);
    const offered = await transport.readFeatures();
    await transport.writeStatus(0);
    return { offered, hasRegisters: registers !== undefined };
  } finally {
    await close();
  }
}

function seconds(text: string): number {
  const value = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && value > 0 && value <= 3600) return value;
  throw new InvalidArgumentError('seconds, up to 3600, are needed.');
}
