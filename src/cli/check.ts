import type { Command } from 'commander';
import { deviceCommand } from './check/device-command.ts';
import { driverCommand } from './check/driver-command.ts';
import { traceCommand } from './check/trace.ts';

export function checkCommand(program: Command): void {
  const check = program
    .command('check')
    .description('say whether a device or a driver keeps to VIRTIO 1.4, its suspend above all')
    .helpCommand(false);
  traceCommand(check);
  deviceCommand(check);
  driverCommand(check);
}
