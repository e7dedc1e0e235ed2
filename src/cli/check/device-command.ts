import { resolve } from 'node:path';
import { Argument, type Command, InvalidArgumentError, Option } from 'commander';
import { GuestAllocator } from '../../memory/allocator.ts';
import type { TraceTransport } from '../../monitor/trace.ts';
import { TransportError } from '../../spec/fault.ts';
import type { FeatureSet } from '../../spec/features.ts';
import { fileName } from '../argument.ts';
import { deviceCases } from './device-cases.ts';
import { addCheckOptions, type CaseOptions, CHOSEN_RINGS, check, declinedFor } from './ends.ts';
import { HandDriver } from './hand-driver.ts';
import { ownCases } from './own-device.ts';
import { type Reach, type Reached, reachVfioUser, reachVhostUser } from './peers.ts';
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

const FIRST_FREE = 0x1000;

const HELP = `
loopback, pci and mmio are ways to the devices of this project: block, and where buffers wait console, entropy and network.

Over vhost-user and vfio-user a block device of any program is judged that listens at the socket and serves nobody else meanwhile:
  virtio serve block --image disk.img --vhost-user /tmp/disk.sock
  virtio check device vhost-user /tmp/disk.sock
Its disk, of 64 sectors at least, is only read. What takes more than to be its driver, or a feature that it does not offer, is
not exercised.
`;

export function deviceCommand(checkCommand: Command): void {
  const command = checkCommand
    .command('device')
    .addArgument(
      new Argument('<way>', 'how to reach the device').choices([...Object.keys(OWN_WAYS), ...Object.keys(SOCKET_WAYS)]),
    )
    .argument('[socket]', 'where the device listens, for vhost-user and vfio-user', fileName)
    .description('play the driver, and judge a device')
    .addOption(
      new Option('--limit <seconds>', 'how long the device may take for one case').argParser(seconds).default(20),
    )
    .addHelpText('after', HELP)
    .hook('preAction', () => {
      const [way, socket] = command.processedArgs as [string, string | undefined];
      const isSocket = Object.hasOwn(SOCKET_WAYS, way);
      if (isSocket && socket === undefined)
        command.error(`error: ${way} needs the socket at which the device listens.`);
      if (!isSocket && socket !== undefined) command.error(`error: ${way} has no socket.`);
    });
  addCheckOptions(command).action(checkDevice);
}

interface DeviceOptions extends CaseOptions {
  readonly limit: number;
}

async function checkDevice(way: string, socket: string | undefined, options: DeviceOptions): Promise<void> {
  const limitMs = options.limit * 1000;
  const listening = SOCKET_WAYS[way];
  if (listening === undefined) {
    await check(
      { role: 'device', way, title: `The devices over ${way}`, limitMs },
      ownCases({ way: OWN_WAYS[way]! }),
      options,
    );
    return;
  }
  const path = resolve(socket!);
  const title = `The device at ${path}, over ${way}`;
  const reach = (): Promise<Reached> => listening(path);
  const peer = await within(limitMs, lookAt(reach)).catch((cause: Error) => {
    throw new TransportError(`no device to judge at ${path} over ${way}: ${cause.message}`, { cause });
  });
  await check({ role: 'device', way, title, limitMs }, peerCases(reach, peer), options);
}

/** Each case reaches the device anew; the driver begins with a reset. */
function peerCases(reach: Reach, { offered, hasRegisters }: Peer): NamedCase[] {
  const disk = new SeenDisk();
  return CHOSEN_RINGS.flatMap(({ name: ring, offer }) => {
    const declined = declinedFor(offer);
    return deviceCases.map((deviceCase) => ({
      name: `${deviceCase.name} (${ring})`,
      whyNot: whyNot(deviceCase, offer, offered, hasRegisters),
      prepare: async (): Promise<CheckCase> => {
        const reached = await reach();
        const { memory, trace } = reached;
        const allocator = new GuestAllocator(memory, FIRST_FREE, memory.regions[0]!.size - FIRST_FREE);
        const driver = new HandDriver({ ...reached, allocator, declined, isSector: disk.isSector });
        if (deviceCase.needs !== undefined) throw new RangeError('there is nothing behind the device to steer');
        return { trace, run: () => deviceCase.run(driver).then(() => driver.settle()), close: reached.close };
      },
    }));
  });
}

/** What is known of a device before it is judged. */
interface Peer {
  readonly offered: FeatureSet;
  readonly hasRegisters: boolean;
}

/** What a device offers, after a reset. */
async function lookAt(reach: Reach): Promise<Peer> {
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
