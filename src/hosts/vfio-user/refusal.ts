/** A request that is answered with an error. `errno` is what the client is told, the message is for us. */
export class Refusal extends Error {
  readonly errno: number;

  constructor(errno: number, message: string) {
    super(message);
    this.name = 'Refusal';
    this.errno = errno;
  }
}
