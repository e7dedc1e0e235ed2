/** MSI-X messages and suspend: what was sent before waits for its mask; nothing new is made at rest. */
import { describe, expect, it } from 'vitest';
import { Msix } from '../../src/spec/pci.ts';
import { REQUESTS } from '../support/controlled-type.ts';
import { SuspendRig, settings } from '../support/suspend-rig.ts';

const CONFIG_VECTOR = 0;
const REQUESTS_VECTOR = 1 + REQUESTS;
const TABLE_BAR = 1;

function mask(rig: SuspendRig, vector: number, masked: boolean): void {
  rig.pci!.writeBar(TABLE_BAR, Msix.ENTRY_BYTES * vector + Msix.ENTRY_CONTROL, 4, Number(masked));
}

/** Vectors whose message waits. */
function pending(rig: SuspendRig): number[] {
  const bits = rig.pci!.readBar(TABLE_BAR, 2048, 4);
  return [0, 1, 2, 3].filter((vector) => (bits & (1 << vector)) !== 0);
}

const msix = settings.filter(([, { way }]) => way === 'pci msix');

describe.each(msix)('messages, over %s:', (_, setting) => {
  it('one that its mask kept back before the suspend goes out when it is unmasked, and nothing else does', async () => {
    const rig = await SuspendRig.start(setting);
    mask(rig, REQUESTS_VECTOR, true);
    rig.send(REQUESTS, 1);
    expect(pending(rig)).toEqual([REQUESTS_VECTOR]);
    rig.suspend();
    expect(rig.status).toBe(0x1b);
    rig.events.length = 0;
    rig.type.change(9);
    rig.expose(REQUESTS, 2);
    rig.kick(REQUESTS);
    expect([rig.events, pending(rig)]).toEqual([[], [REQUESTS_VECTOR]]);
    mask(rig, REQUESTS_VECTOR, false);
    expect([rig.events[0], pending(rig)]).toEqual(['used', []]);
    expect(rig.events.filter((event) => event === 'used' || event === 'config')).toEqual(['used']);
    mask(rig, REQUESTS_VECTOR, true);
    mask(rig, REQUESTS_VECTOR, false);
    expect(rig.events.filter((event) => event === 'used' || event === 'config')).toEqual(['used']);
    rig.events.length = 0;
    rig.resume();
    expect(rig.events.filter((event) => !event.startsWith('collect'))).toEqual(['status 0f', 'config', 'used']);
  });

  it('one that is kept back goes with the device to another, and out there', async () => {
    const rig = await SuspendRig.start(setting);
    for (const vector of [CONFIG_VECTOR, REQUESTS_VECTOR]) mask(rig, vector, true);
    rig.send(REQUESTS, 1);
    rig.type.change(9);
    rig.suspend();
    rig.move();
    rig.events.length = 0;
    expect(pending(rig)).toEqual([CONFIG_VECTOR, REQUESTS_VECTOR]);
    mask(rig, CONFIG_VECTOR, false);
    expect(rig.events).toEqual(['config']);
    mask(rig, REQUESTS_VECTOR, false);
    expect(rig.events.slice(0, 2)).toEqual(['config', 'used']);
    rig.resume();
    rig.send(REQUESTS, 2);
    expect(rig.events.at(-1)).toBe(`collect ${REQUESTS}:2`);
  });
});
