import type { ServerEvent } from './server.ts';

/** What a worker is started with. */
export interface WorkerStart {
  readonly path: string;
  readonly module: string;
  readonly options: unknown;
  readonly withhold: readonly number[];
  readonly offer: readonly number[];
  readonly suspendLimitMs: number | undefined;
  readonly pollUs: number;
  /** Of an eventfd: signalled after each message to the worker, which may wait in a foreign call. */
  readonly wakeFd: number;
}

/** A call of the worker's server, or of one of the module's commands. */
export interface WorkerCall {
  readonly kind: 'call';
  readonly id: number;
  readonly name: string;
  readonly args: readonly unknown[];
}

/** To the worker. With `leave` the process ends: the thread is not to wait for anything any more. */
export type WorkerOrder = WorkerCall | { readonly kind: 'leave' };

export type WorkerMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'event'; readonly event: ServerEvent }
  | { readonly kind: 'told'; readonly what: unknown }
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'error'; readonly id: number; readonly error: Error };
