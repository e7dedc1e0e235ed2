import { TransportError } from '../../spec/fault.ts';
import { asError } from '../refusal.ts';
import type { ConnectionLimits, NbdCommand } from './connection.ts';
import type { NbdExport } from './handshake.ts';
import { ExportFlag } from './layout.ts';
import { NbdSession } from './session.ts';
import type { NbdAddress } from './uri.ts';
import { NbdViolation } from './violation.ts';

/** The pause before another attempt to connect grows from the one to the other, until the server has answered something. */
const PAUSE_MS = { least: 100, most: 2000 } as const;

export interface NbdLimits extends ConnectionLimits {
  /** How long requests wait for a server that is away. */
  readonly awayMs: number;
}

export interface NbdServerPlan {
  readonly address: NbdAddress;
  readonly connections: number;
  readonly limits: NbdLimits;
  /** What a new session has to do before all else. Throws when it breaks. */
  readonly onReconnect: (session: NbdSession) => Promise<void>;
  readonly onEvent: (event: NbdEvent) => void;
}

export type NbdEvent =
  | { readonly kind: 'disconnected' | 'given-up'; readonly reason: string }
  | { readonly kind: 'reconnected'; readonly repeated: number };

/**
 * A server that may go and come back. What it has not answered is sent again, in the same order; when it stays away for too long,
 * or breaks the protocol, that fails, and so does what comes until it is back.
 */
export class NbdServer {
  readonly #plan: NbdServerPlan;
  #session: NbdSession | undefined;
  /** What was not sent, or not answered, in its order. */
  readonly #waiting: NbdCommand[] = [];
  #isHeld: () => boolean = () => false;
  #away: NodeJS.Timeout | undefined;
  #lastError: Error | undefined;
  #hasGivenUp = false;
  #isLeaving = false;
  #pauseMs = 0;
  #endPause: (() => void) | undefined;

  private constructor(plan: NbdServerPlan, session: NbdSession) {
    this.#plan = plan;
    this.#use(session);
  }

  /** Throws TransportError when there is no server, or not this export. */
  static async open(plan: NbdServerPlan): Promise<{ server: NbdServer; found: NbdExport; connections: number }> {
    const session = await NbdSession.open(plan.address, plan.connections, plan.limits);
    return { server: new NbdServer(plan, session), found: session.export, connections: session.connections };
  }

  /** While it returns true, commands wait; `goOn` is to be called when that has changed. */
  holdWhile(isHeld: () => boolean): void {
    this.#isHeld = isHeld;
  }

  send(command: NbdCommand): void {
    if (this.#hasGivenUp) command.onLost(this.#lastError!);
    else {
      this.#waiting.push(command);
      this.goOn();
    }
  }

  /** Sends at once what must not wait for others; false when there is no connection, or it is full. */
  sendFirst(command: NbdCommand): boolean {
    if (this.#session === undefined || this.#session.isFull) return false;
    this.#session.send(command);
    return true;
  }

  goOn(): void {
    while (this.#session !== undefined && this.#waiting.length > 0 && !this.#session.isFull && !this.#isHeld()) {
      this.#session.send(this.#waiting.shift()!);
    }
  }

  /** To be called when a command was answered: the server does its work. */
  isAlive(): void {
    this.#stopWaiting();
    this.#pauseMs = 0;
  }

  /** From now on it is not waited for: what it owes fails when it goes away, or now if it is. */
  leave(): void {
    this.#isLeaving = true;
    this.#endPause?.();
    if (this.#session === undefined) this.#giveUp(this.#lastError!);
  }

  /** Nothing is in flight. */
  close(): void {
    this.#isLeaving = true;
    this.#endPause?.();
    this.#stopWaiting();
    this.#session?.end();
  }

  #use(session: NbdSession): void {
    this.#session = session;
    session.whenBroken((error, unanswered) => this.#onBroken(error, unanswered));
  }

  #onBroken(error: Error, unanswered: readonly NbdCommand[]): void {
    this.#session = undefined;
    this.#lastError = error;
    this.#waiting.unshift(...unanswered);
    this.#plan.onEvent({ kind: 'disconnected', reason: error.message });
    this.#startWaiting();
    if (error instanceof NbdViolation || this.#hasGivenUp || this.#isLeaving) this.#giveUp(error);
    void this.#reconnect();
  }

  #startWaiting(): void {
    const { awayMs } = this.#plan.limits;
    this.#away ??= setTimeout(() => {
      const last = this.#lastError?.message ?? 'it does not answer';
      this.#giveUp(new TransportError(`${last}. It has not been back for ${awayMs} ms`));
    }, awayMs);
  }

  #stopWaiting(): void {
    clearTimeout(this.#away);
    this.#away = undefined;
  }

  /** Fails all that waits, and what comes until the server is back. */
  #giveUp(error: Error): void {
    this.#stopWaiting();
    if (!this.#hasGivenUp) this.#plan.onEvent({ kind: 'given-up', reason: error.message });
    this.#hasGivenUp = true;
    this.#lastError = error;
    // One that is connected, but does nothing: what it has fails when it has broken.
    this.#session?.destroy(error);
    for (const command of this.#waiting.splice(0)) command.onLost(error);
  }

  async #reconnect(): Promise<void> {
    const { address, connections, limits, onReconnect, onEvent } = this.#plan;
    while (!this.#isLeaving) {
      await this.#pause(this.#pauseMs);
      this.#pauseMs = Math.min(Math.max(2 * this.#pauseMs, PAUSE_MS.least), PAUSE_MS.most);
      if (this.#isLeaving) return;
      let session: NbdSession | undefined;
      try {
        session = await NbdSession.open(address, connections, limits);
        await onReconnect(session);
      } catch (error) {
        if (!this.#hasGivenUp) this.#lastError = asError(error);
        session?.destroy(asError(error));
        continue;
      }
      if (this.#isLeaving) {
        session.end();
        return;
      }
      this.#hasGivenUp = false;
      this.#use(session);
      if (this.#waiting.length === 0) this.#stopWaiting();
      onEvent({ kind: 'reconnected', repeated: this.#waiting.length });
      this.goOn();
      return;
    }
  }

  #pause(pauseMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, pauseMs);
      this.#endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** Why a disk cannot go on with an export, or undefined when it can. */
export function difference(before: NbdExport, now: NbdExport): string | undefined {
  const needed =
    before.flags & (ExportFlag.SEND_FLUSH | ExportFlag.SEND_FUA | ExportFlag.SEND_TRIM | ExportFlag.SEND_WRITE_ZEROES);
  if (now.bytes < before.bytes) return `the export had ${before.bytes} bytes and has ${now.bytes} now`;
  if ((now.flags & ExportFlag.READ_ONLY) > (before.flags & ExportFlag.READ_ONLY)) return 'the export is read-only now';
  if ((now.flags & needed) !== needed) return 'the export can do less than before';
  if (now.minimumBlock > before.minimumBlock || now.maximumPayload < before.maximumPayload) {
    return 'the export has other block sizes than before';
  }
  return undefined;
}
