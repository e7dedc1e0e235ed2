/**
 * Whose fault it is. Our caller's mistakes are RangeError and TypeError; the other three are here.
 */

/** The peer broke a rule of the standard. `rule` is the id of that rule, as in docs/rules.md. */
export class ProtocolError extends Error {
  readonly rule: string;

  constructor(rule: string, message: string) {
    super(`${message} [${rule}]`);
    this.name = 'ProtocolError';
    this.rule = rule;
  }
}

/** The call is right but comes at the wrong time: the device is suspended, was reset, is not quiet. */
export class StateError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'StateError';
  }
}

/** The world between the two ends failed: a socket, a worker, a file. */
export class TransportError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'TransportError';
  }
}
