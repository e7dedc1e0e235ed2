import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  type Command,
  commands,
  commandsByCode,
  decode,
  encodeError,
  encodeReply,
  encodeRequest,
  header,
  MessageFlag,
  MOST_DATA_BYTES,
  writeEntry,
} from '../../../../src/hosts/vfio-user/messages.ts';
import { type Fields, Struct, type Values } from '../../../../src/hosts/vfio-user/struct.ts';
import { type Capabilities, decodeCapabilities, encodeCapabilities } from '../../../../src/hosts/vfio-user/version.ts';
import { runs } from '../../../support/runs.ts';

const RUNS = runs(1123, 300);

const fields = fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), fc.constantFrom(2 as const, 4 as const, 8 as const), {
  maxKeys: 8,
});

function valuesOf(of: Fields): fc.Arbitrary<Values<Fields>> {
  const most = { 2: 0xffff, 4: 0xffff_ffff, 8: Number.MAX_SAFE_INTEGER };
  return fc.record(Object.fromEntries(Object.entries(of).map(([name, width]) => [name, fc.nat(most[width])])));
}

it(`a structure reads what it has written, and nothing else (seed ${RUNS.seed})`, () => {
  const cases = fields.chain((of) => fc.tuple(fc.constant(of), valuesOf(of), fc.nat(16)));
  fc.assert(
    fc.property(cases, ([of, values, at]) => {
      const struct = new Struct(of);
      const bytes = new Uint8Array(at + struct.bytes + 8).fill(0xaa);
      struct.write(new DataView(bytes.buffer), values, at);
      expect(struct.read(new DataView(bytes.buffer), at)).toEqual({ ...values });
      expect(bytes.subarray(0, at).every((byte) => byte === 0xaa)).toBe(true);
      expect(bytes.subarray(at + struct.bytes).every((byte) => byte === 0xaa)).toBe(true);
    }),
    RUNS,
  );
});

it('a field of 8 bytes that is no exact number is larger than all that are', () => {
  const view = new DataView(new Uint8Array(8).fill(0xff).buffer);
  expect(new Struct({ address: 8 }).read(view).address).toBeGreaterThan(Number.MAX_SAFE_INTEGER);
});

// What libvfio-user and QEMU have in their headers.
it('requests and replies have the sizes that the protocol gives them', () => {
  const sizes = Object.values(commands).map((command: Command) => {
    return [command.name, command.code, command.request.bytes, command.reply.bytes];
  });
  expect(sizes).toEqual([
    ['version', 1, 4, 4],
    ['dmaMap', 2, 32, 0],
    ['dmaUnmap', 3, 24, 24],
    ['deviceInfo', 4, 16, 16],
    ['regionInfo', 5, 32, 32],
    ['regionIoFds', 6, 16, 16],
    ['irqInfo', 7, 16, 16],
    ['setIrqs', 8, 20, 0],
    ['regionRead', 9, 16, 16],
    ['regionWrite', 10, 16, 16],
    ['dmaRead', 11, 16, 16],
    ['dmaWrite', 12, 16, 16],
    ['reset', 13, 0, 0],
    ['regionWriteMulti', 15, 8, 8],
    ['feature', 16, 8, 8],
    ['readMigration', 17, 8, 8],
    ['writeMigration', 18, 8, 0],
  ]);
  expect([header.bytes, writeEntry.bytes]).toEqual([16, 24]);
});

it('a request as QEMU sends it', () => {
  const bytes = Buffer.from(
    '0500 0200 30000000 00000000 00000000 20000000 03000000 0000000000000000 0000000001000000 0000001000000000'.replaceAll(
      ' ',
      '',
    ),
    'hex',
  );
  const values = { argsz: 32, flags: 3, offset: 0, address: 0x1_0000_0000, size: 0x1000_0000 };
  expect(Buffer.from(encodeRequest(5, 'dmaMap', values))).toEqual(bytes);
  expect(decode(commands.dmaMap.request, bytes.subarray(16))?.values).toEqual(values);
});

it('replies say that they are some, and errors which', () => {
  const reply = encodeReply(7, 'regionWrite', { offset: 20, region: 4, count: 1 });
  expect(header.read(new DataView(reply.buffer))).toEqual({ id: 7, code: 10, size: 32, flags: 1, error: 0 });
  const error = encodeError({ id: 8, code: 99 }, 22);
  expect(header.read(new DataView(error.buffer))).toEqual({ id: 8, code: 99, size: 16, flags: 0x21, error: 22 });
  const posted = encodeRequest(9, 'reset', {}, { flags: MessageFlag.NO_REPLY });
  expect(header.read(new DataView(posted.buffer))).toMatchObject({ code: 13, flags: 0x10 });
});

it(`any bytes are a message's fields and data, or too few (seed ${RUNS.seed})`, () => {
  const cases = fc.tuple(fc.constantFrom(...commandsByCode.values()), fc.uint8Array({ maxLength: 80 }));
  fc.assert(
    fc.property(cases, ([{ request, reply }, bytes]) => {
      for (const struct of [request, reply] as Struct<Fields>[]) {
        const decoded = decode(struct, bytes);
        expect(decoded === undefined).toBe(bytes.length < struct.bytes);
        if (decoded === undefined) continue;
        expect(decoded.data).toEqual(bytes.slice(struct.bytes));
        for (const value of Object.values(decoded.values)) expect(value).toBeGreaterThanOrEqual(0);
      }
    }),
    RUNS,
  );
});

const capabilities: fc.Arbitrary<Capabilities> = fc.record({
  maxMsgFds: fc.nat(),
  maxDataXferSize: fc.nat(),
  maxDmaMaps: fc.nat(),
  pgsizes: fc.nat(),
  writeMultiple: fc.boolean(),
});

it(`capabilities are read as they were written (seed ${RUNS.seed})`, () => {
  fc.assert(
    fc.property(capabilities, (given) => {
      expect(decodeCapabilities(encodeCapabilities(given))).toEqual(given);
    }),
    RUNS,
  );
});

it(`any version data are capabilities, or none (seed ${RUNS.seed})`, () => {
  const text = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
  const near = fc.dictionary(
    fc.constantFrom('max_msg_fds', 'max_dma_maps', 'pgsizes', 'write_multiple', 'migration'),
    fc.jsonValue({ maxDepth: 1 }),
  );
  const data = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.jsonValue({ maxDepth: 2 }).map(text),
    near.map((inner) => text({ capabilities: inner })),
  );
  fc.assert(
    fc.property(data, (bytes) => {
      const found = decodeCapabilities(bytes);
      if (found === undefined) return;
      const { writeMultiple, ...numbers } = found;
      expect(typeof writeMultiple).toBe('boolean');
      for (const value of Object.values(numbers)) expect(value).toSatisfy(Number.isSafeInteger);
    }),
    RUNS,
  );
});

it('what a side does not say is as the protocol has it', () => {
  const defaults = {
    maxMsgFds: 1,
    maxDataXferSize: MOST_DATA_BYTES,
    maxDmaMaps: 65535,
    pgsizes: 4096,
    writeMultiple: false,
  };
  const said = ['', '{}\0', '{"capabilities":{}}\0', '{"capabilities":{"twin_socket":{"supported":true}}}'];
  for (const text of said) expect(decodeCapabilities(new TextEncoder().encode(text))).toEqual(defaults);
  const wrong = [
    '[]',
    '7',
    '{"capabilities":[]}',
    '{"capabilities":{"max_msg_fds":"many"}}',
    '{',
    '{"capabilities":{"pgsizes":-1}}',
  ];
  for (const text of wrong) expect(decodeCapabilities(new TextEncoder().encode(text)), text).toBeUndefined();
});
