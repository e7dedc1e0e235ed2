import { describe, expect, it } from 'vitest';
import { consistent, type DeviceState, StatusMachine } from '../../../src/device/status-machine.ts';
import { Status } from '../../../src/spec/status.ts';

const { ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, SUSPEND, DEVICE_NEEDS_RESET, FAILED } = Status;
const yes = (): boolean => true;
const no = (): boolean => false;

/** How each state is reached by lawful means. */
const REACH: Readonly<Record<string, (machine: StatusMachine) => void>> = {
  reset: () => {},
  acknowledged: (machine) => write(machine, 0x01),
  'driver found': (machine) => write(machine, 0x01, 0x03),
  'features settled': (machine) => write(machine, 0x01, 0x03, 0x0b),
  running: (machine) => write(machine, 0x01, 0x03, 0x0b, 0x0f),
  suspending: (machine) => write(machine, 0x0f, 0x1f),
  suspended: (machine) => {
    write(machine, 0x0f, 0x1f);
    machine.suspended();
  },
  resuming: (machine) => {
    write(machine, 0x0f, 0x1f);
    machine.suspended();
    write(machine, 0x1f);
  },
  'resumed once': (machine) => {
    write(machine, 0x0f, 0x1f);
    machine.suspended();
    write(machine, 0x1f);
    machine.resumed();
  },
  'needs reset while running': (machine) => {
    write(machine, 0x0f);
    machine.needReset();
  },
  'needs reset from suspending': (machine) => {
    write(machine, 0x0f, 0x1f);
    machine.needReset();
  },
  'needs reset while suspended': (machine) => {
    write(machine, 0x0f, 0x1f);
    machine.suspended();
    machine.needReset();
  },
  'given up while running': (machine) => write(machine, 0x0f, 0x8f),
  'given up while suspending': (machine) => write(machine, 0x0f, 0x1f, 0x9f),
  'given up while suspended': (machine) => {
    write(machine, 0x0f, 0x1f);
    machine.suspended();
    write(machine, 0x9b);
  },
};

const SHOWN: Readonly<Record<string, number>> = {
  reset: 0x00,
  acknowledged: 0x01,
  'driver found': 0x03,
  'features settled': 0x0b,
  running: 0x0f,
  suspending: 0x1f,
  suspended: 0x1b,
  resuming: 0x1b,
  'resumed once': 0x0f,
  'needs reset while running': 0x4f,
  'needs reset from suspending': 0x4f,
  'needs reset while suspended': 0x5b,
  'given up while running': 0x8f,
  'given up while suspending': 0x9f,
  'given up while suspended': 0x9b,
};

function write(machine: StatusMachine, ...values: readonly number[]): void {
  for (const value of values) machine.write(value, yes, true);
}

interface Expected {
  readonly shown: number;
  readonly state: DeviceState;
}

/**
 * What a write means, told once more from the standard and without the machine: bits are only added, a reset comes first,
 * FAILED next, then the one thing that the state waits for.
 */
function model(before: Expected, value: number, featuresFit: boolean, suspendNegotiated: boolean): Expected {
  const { shown, state } = before;
  if (value === 0) return { shown: 0, state: 'initializing' };
  if ((value & FAILED) !== 0) return { shown: shown | FAILED, state };
  if ((shown & FAILED) !== 0) return before;
  if (state === 'initializing') {
    let next = shown | (value & (ACKNOWLEDGE | DRIVER));
    if ((value & FEATURES_OK) !== 0 && featuresFit) next |= FEATURES_OK;
    if ((value & DRIVER_OK) === 0 || (next & FEATURES_OK) === 0) return { shown: next, state };
    return { shown: next | DRIVER_OK, state: 'running' };
  }
  if (state === 'running' && suspendNegotiated && (value & SUSPEND) !== 0) {
    return { shown: shown | SUSPEND, state: 'suspending' };
  }
  if (state === 'suspended' && (value & DRIVER_OK) !== 0) return { shown, state: 'resuming' };
  return before;
}

describe('each of the 256 values, written in each state', () => {
  for (const [name, reach] of Object.entries(REACH)) {
    for (const suspendNegotiated of [true, false]) {
      for (const [fit, acceptable] of [
        ['accepted', yes],
        ['refused', no],
      ] as const) {
        it(`${name}, features ${fit}, SUSPEND ${suspendNegotiated ? '' : 'not '}negotiated`, () => {
          for (let value = 0; value < 256; value++) {
            const machine = new StatusMachine();
            reach(machine);
            const before = { shown: machine.shown, state: machine.state };
            const action = machine.write(value, acceptable, suspendNegotiated);
            const expected = model(before, value, fit === 'accepted', suspendNegotiated);
            if (action === 'reset') machine.reset();
            expect({ value, shown: machine.shown, state: machine.state }).toEqual({ value, ...expected });
            expect(consistent(machine.state, machine.shown), `0x${value.toString(16)}`).toBe(true);
          }
        });
      }
    }
  }
});

describe('the status field', () => {
  it.each(Object.entries(SHOWN))('shows, %s, 0x%s', (name, shown) => {
    const machine = new StatusMachine();
    REACH[name]!(machine);
    expect(machine.shown).toBe(shown);
  });

  it('asks for what a write means, once', () => {
    const machine = new StatusMachine();
    expect(machine.write(0x03, yes, true)).toBe('none');
    expect(machine.write(0x0f, yes, true)).toBe('start');
    expect(machine.write(0x0f, yes, true)).toBe('none');
    expect(machine.write(0x1f, yes, true)).toBe('suspend');
    expect(machine.write(0x1f, yes, true)).toBe('none');
    machine.suspended();
    expect(machine.write(0x1b, yes, true)).toBe('none');
    expect(machine.write(0x1f, yes, true)).toBe('resume');
    expect(machine.write(0x1f, yes, true)).toBe('none');
    machine.resumed();
    expect(machine.write(0x8f, yes, true)).toBe('giveUp');
    expect(machine.write(0x8f, yes, true)).toBe('none');
    expect(machine.write(0x00, yes, true)).toBe('reset');
  });

  it('asks about the features only when FEATURES_OK is to be set, and then once', () => {
    const machine = new StatusMachine();
    let asked = 0;
    const ask = (): boolean => {
      asked++;
      return true;
    };
    machine.write(0x03, ask, true);
    expect(asked).toBe(0);
    machine.write(0x0b, ask, true);
    machine.write(0x0b, ask, true);
    machine.write(0x0f, ask, true);
    expect(asked).toBe(1);
  });

  it('keeps FAILED in sight while suspending ends, and does not resume then', () => {
    const machine = new StatusMachine();
    REACH['given up while suspending']!(machine);
    machine.suspended();
    expect(machine.shown).toBe(0x9b);
    expect(machine.write(0x1f, yes, true)).toBe('none');
    expect(machine.state).toBe('suspended');
  });

  it('adds FAILED to DEVICE_NEEDS_RESET and nothing else', () => {
    const machine = new StatusMachine();
    REACH['needs reset while running']!(machine);
    machine.write(0x1f, yes, true);
    expect(machine.shown).toBe(0x4f);
    machine.write(FAILED, yes, true);
    expect(machine.shown).toBe(0x4f | FAILED | DEVICE_NEEDS_RESET);
  });
});
