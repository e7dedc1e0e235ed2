const DEFAULT_PORT = 10_809;

/** Where a server is, and what of it. */
export interface NbdAddress {
  readonly at: { readonly host: string; readonly port: number } | { readonly path: string };
  /** Empty for the server's default one. */
  readonly exportName: string;
  /** For messages. */
  readonly text: string;
}

/** Whether a text is meant as the address of a server, and not as the path of a file. */
export function isNbdUri(text: string): boolean {
  return /^nbds?(\+\w+)?:/.test(text);
}

/** `nbd://host:port/export` or `nbd+unix:///export?socket=PATH`. Throws RangeError that says what is wrong. */
export function parseNbdUri(text: string): NbdAddress {
  const uri = URL.canParse(text) ? new URL(text) : undefined;
  if (uri === undefined) throw wrong(text, 'it is no URI');
  const exportName = decoded(text, uri.pathname.slice(1));
  if (uri.protocol === 'nbd:') {
    if (uri.hostname === '') throw wrong(text, 'it names no host');
    const host = uri.hostname.replace(/^\[(.*)\]$/, '$1');
    return { at: { host, port: uri.port === '' ? DEFAULT_PORT : Number(uri.port) }, exportName, text };
  }
  if (uri.protocol === 'nbd+unix:') {
    const path = uri.searchParams.get('socket') ?? '';
    if (path === '') throw wrong(text, 'it names no socket');
    if (uri.host !== '')
      throw wrong(text, 'a host does not go with a Unix socket: three slashes come before the export');
    return { at: { path }, exportName, text };
  }
  if (/^nbds(\+unix)?:$/.test(uri.protocol)) throw wrong(text, 'TLS is not spoken here: use a tunnel');
  throw wrong(text, `"${uri.protocol}" is neither nbd: nor nbd+unix:`);
}

function decoded(text: string, name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    throw wrong(text, 'its export has a broken percent sign');
  }
}

function wrong(text: string, why: string): RangeError {
  return new RangeError(
    `${JSON.stringify(text)} is no NBD server: ${why}. Give nbd://host:port/export or nbd+unix:///export?socket=PATH`,
  );
}
