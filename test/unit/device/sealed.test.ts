import { describe, expect, it } from 'vitest';
import { seal, unseal } from '../../../src/device/sealed.ts';
import { StateError } from '../../../src/spec/fault.ts';

/** What comes back of a saved value whose body was changed on the way. */
function damaged(body: unknown, change: unknown): () => unknown {
  return () => unseal({ ...seal('thing', 3, body), body: change }, 'thing', 3);
}

describe('a sealed value', () => {
  it('comes back as it was, over JSON', () => {
    for (const body of [null, 0, '', 'text', [], { a: [1, { b: 'ü' }] }]) {
      expect(unseal(JSON.parse(JSON.stringify(seal('thing', 3, body))), 'thing', 3)).toEqual(body);
    }
  });

  it('has the CRC-32 that other programs compute over the same text', () => {
    // Of `"123456789"` and `"a saved state"` with their quotes, by zlib.
    expect(seal('thing', 3, '123456789').checksum).toBe(0x8359_3021);
    expect(seal('thing', 3, 'a saved state').checksum).toBe(0x7d61_a2db);
  });

  it('is not taken for another kind, nor for one of another version', () => {
    const saved = seal('thing', 3, 5);
    expect(() => unseal(saved, 'other', 3)).toThrow(/not a saved other, but {"format":"thing"/);
    expect(() => unseal(saved, 'thing', 4)).toThrow(/version 3; this program reads version 4/);
    expect(() => unseal(undefined, 'thing', 3)).toThrow(StateError);
    expect(() => unseal('{"format":"thing"}', 'thing', 3)).toThrow(/not a saved thing/);
  });

  it('that is not one at all is shown by its first characters only', () => {
    expect(() => unseal({ text: 'x'.repeat(1000) }, 'thing', 3)).toThrow(
      /^this is not a saved thing, but \{"text":"x{51}$/,
    );
  });

  it('notices each changed character, also one beyond ASCII, and a body that is gone', () => {
    expect(damaged('disk', 'disc')).toThrow(/damaged/);
    expect(damaged('Störung', 'Stärung')).toThrow(/damaged/);
    // The lower eight bits of these two are the same.
    expect(damaged('\u4e00', '\u4f00')).toThrow(/damaged/);
    expect(damaged({ a: 1 }, undefined)).toThrow(/damaged/);
  });
});
