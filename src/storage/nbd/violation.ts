import { TransportError } from '../../spec/fault.ts';

/** The server has broken the protocol: it makes no sense to go on with it. */
export class NbdViolation extends TransportError {}

export function violation(server: string, what: string): NbdViolation {
  return new NbdViolation(`NBD server ${server} breaks the protocol: ${what}. That server is at fault`);
}
