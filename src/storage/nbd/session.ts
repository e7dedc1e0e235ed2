import { asError } from '../refusal.ts';
import { type ConnectionLimits, type NbdCommand, NbdConnection } from './connection.ts';
import type { NbdExport } from './handshake.ts';
import { ExportFlag } from './layout.ts';
import type { NbdAddress } from './uri.ts';
import { violation } from './violation.ts';

/** Commands on one connection at a time; more wait, so that nothing grows without end at a server that is slow. */
const MOST_IN_FLIGHT = 64;

/** Some connections to one export, which live and die together. */
export class NbdSession {
  readonly export: NbdExport;
  readonly #connections: readonly NbdConnection[];
  #left: number;
  #broken: Error | undefined;
  #onBroken: ((error: Error, unanswered: readonly NbdCommand[]) => void) | undefined;

  private constructor(connections: readonly NbdConnection[]) {
    this.#connections = connections;
    this.export = connections[0]!.export;
    this.#left = connections.length;
    for (const connection of connections) {
      connection.whenBroken((error) => {
        this.#broken ??= error;
        this.#left--;
        if (this.#left > 0) this.destroy(this.#broken);
        else this.#tell();
      });
    }
  }

  /** Up to `count` connections; one where a flush on one would not be for what was written on another. Throws TransportError. */
  static async open(address: NbdAddress, count: number, limits: ConnectionLimits): Promise<NbdSession> {
    const first = await NbdConnection.open(address, limits);
    const connections = [first];
    const { bytes, flags } = first.export;
    try {
      const more = (flags & ExportFlag.CAN_MULTI_CONN) === 0 ? 0 : count - 1;
      const opened = await Promise.allSettled(Array.from({ length: more }, () => NbdConnection.open(address, limits)));
      for (const result of opened) if (result.status === 'fulfilled') connections.push(result.value);
      for (const result of opened) if (result.status === 'rejected') throw result.reason;
      if (connections.some(({ export: other }) => other.bytes !== bytes || other.flags !== flags)) {
        throw violation(address.text, 'its export is another one on each connection');
      }
    } catch (error) {
      for (const connection of connections) connection.destroy(asError(error));
      throw error;
    }
    return new NbdSession(connections);
  }

  get connections(): number {
    return this.#connections.length;
  }

  /** Once one of them has broken it takes nothing more, either. */
  get isFull(): boolean {
    return this.#broken !== undefined || this.#connections.every(({ inFlight }) => inFlight >= MOST_IN_FLIGHT);
  }

  /** Calls back once all have broken, at once if they have: with why, and with what was not answered by any, in its order. */
  whenBroken(listener: (error: Error, unanswered: readonly NbdCommand[]) => void): void {
    this.#onBroken = listener;
    if (this.#left === 0) this.#tell();
  }

  /** To the connection that has least to do. */
  send(command: NbdCommand): void {
    this.#connections.reduce((least, other) => (other.inFlight < least.inFlight ? other : least)).send(command);
  }

  /** Nothing is in flight. */
  end(): void {
    for (const connection of this.#connections) connection.end();
  }

  destroy(error: Error): void {
    for (const connection of this.#connections) connection.destroy(error);
  }

  #tell(): void {
    if (this.#onBroken === undefined) return;
    const unanswered = this.#connections.flatMap((connection) => connection.take());
    this.#onBroken(
      this.#broken!,
      unanswered.sort((a, b) => a.sequence - b.sequence),
    );
  }
}
