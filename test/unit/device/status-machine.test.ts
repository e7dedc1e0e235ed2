import { describe, expect, it } from 'vitest';
import { consistent, StatusMachine } from '../../../src/device/status-machine.ts';
import { Status } from '../../../src/spec/status.ts';
import { afterWrite } from '../../support/status-model.ts';

const { DEVICE_NEEDS_RESET, FAILED } = Status;
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

describe('each of the 256 values, written in each state', () => {
  for (const [name, reach] of Object.entries(REACH)) {
    for (const suspend of ['negotiated', 'not negotiated'] as const) {
      for (const [fit, acceptable] of [
        ['fit', yes],
        ['do not fit', no],
      ] as const) {
        it(`${name}, features ${fit}, SUSPEND ${suspend}`, () => {
          for (let value = 0; value < 256; value++) {
            const machine = new StatusMachine();
            reach(machine);
            const before = { shown: machine.shown, state: machine.state };
            const action = machine.write(value, acceptable, suspend === 'negotiated');
            const expected = afterWrite(before, value, fit, suspend);
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
