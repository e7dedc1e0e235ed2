/** How either end says that it wants to be notified. In a packed ring it always does until it has asked for the first time. */
export const NOTIFY = ['always', 'split event index', 'packed event index'] as const;

/** What is explored, and how the two ends behave where the standard leaves them a choice. */
export interface Settings {
  /** Buffers that the driver has, 1 to 3. */
  readonly buffers: number;
  readonly notify: (typeof NOTIFY)[number];
  readonly order: 'any' | 'in order';
  /** Whether used buffers are told at once, as ours does, or later, as a device that saves interrupts may. */
  readonly telling: 'at once' | 'late';
}

export const SMALL: Settings = { buffers: 2, notify: 'always', order: 'any', telling: 'at once' };

/** What the driver is doing. `wrote ..`: it initialises the device, wrote this last and has not read it back. */
export type Phase =
  | 'wrote 00'
  | 'wrote 01'
  | 'wrote 03'
  | 'wrote 0b'
  | 'wrote 0f'
  | 'running'
  | 'resetting a queue'
  | 'suspending'
  | 'suspended'
  | 'resuming'
  | 'stuck'
  | 'failed';

/** Whether an end wants to hear of the next buffer: of each, of the next one only, or of none as it was told already. */
export type Wish = 'each' | 'next' | 'none';

/**
 * Both ends and all that is between them, as plain data. Buffers are letters: where one is says what became of it. A letter that
 * is in none of the four places is free.
 */
export interface State {
  // ---- The device ----
  /** What a read of the status shows. */
  status: number;
  /** The back-end. `open` and held by somebody: what is in processing is being finished. */
  rest: 'open' | 'stopping' | 'quiet' | 'starting';
  suspendHeld: boolean;
  pauseHeld: boolean;
  queue: 'off' | 'enabled' | 'live';
  /** In processing, in the order of taking; a capital is complete and waits for an older one. */
  taken: string;
  /** Buffers of a life before the last reset that the back-end still works on. */
  orphans: number;
  /** A used buffer was not told yet. */
  owesUsed: boolean;
  /** The configuration has changed, and is shown as it was. */
  changeHeld: boolean;
  /** A configuration change notification is due when the host lets go. */
  owesChange: boolean;

  // ---- Between the two ----
  /** Exposed and not taken. */
  available: string;
  /** In the used ring, and not seen by the driver. */
  used: string;
  deviceWants: Wish;
  driverWants: Wish;
  /** Under way: from the driver to the device, and the other way. */
  kick: boolean;
  usedInterrupt: boolean;
  configInterrupt: boolean;

  // ---- The driver ----
  phase: Phase;
  /** Accepted from the application, and not exposed. */
  offered: string;
  /** Exposed and not seen again, sorted. */
  out: string;
  /** The configuration space shows other values than the driver has read. */
  stale: boolean;

  // ---- Only for the invariants ----
  /** There was a change that no notification has followed. */
  untold: boolean;
}

/** A device that was just made, and a driver that begins with it. */
export function first(): State {
  return {
    status: 0,
    rest: 'open',
    suspendHeld: false,
    pauseHeld: false,
    queue: 'off',
    taken: '',
    orphans: 0,
    owesUsed: false,
    changeHeld: false,
    owesChange: false,
    available: '',
    used: '',
    deviceWants: 'each',
    driverWants: 'each',
    kick: false,
    usedInterrupt: false,
    configInterrupt: false,
    phase: 'wrote 00',
    offered: '',
    out: '',
    stale: true,
    untold: false,
  };
}

const LETTERS = 'abc';

/** A buffer that the driver can use; undefined when all are out. */
export function freeBuffer(s: State, { buffers }: Settings): string | undefined {
  for (let n = 0; n < buffers; n++) {
    const letter = LETTERS[n]!;
    if (!s.offered.includes(letter) && !s.out.includes(letter)) return letter;
  }
  return undefined;
}

/**
 * One of all states that differ only in which buffer is which: letters are given anew in the order of the places. Changes
 * `s` itself.
 */
export function canonical(s: State): State {
  const all = s.offered + s.available + s.taken + s.used + s.out;
  const lower = all.toLowerCase();
  let names = '';
  for (const letter of lower) if (!names.includes(letter)) names += letter;
  if (LETTERS.startsWith(names)) {
    s.out = sorted(s.out);
    return s;
  }
  const rename = (letters: string): string => {
    let renamed = '';
    for (const letter of letters) {
      const name = LETTERS[names.indexOf(letter.toLowerCase())]!;
      renamed += letter < 'a' ? name.toUpperCase() : name;
    }
    return renamed;
  };
  s.offered = rename(s.offered);
  s.available = rename(s.available);
  s.taken = rename(s.taken);
  s.used = rename(s.used);
  s.out = sorted(rename(s.out));
  return s;
}

function sorted(letters: string): string {
  return letters.length < 2 ? letters : [...letters].sort().join('');
}

/** The numbers of all that was ever seen in the five places. */
const PLACES = new Map<string, number>();
const MOST_PLACES = 2 ** 12;

/** The same for two states exactly when they are the same. Of `canonical` ones, for few keys. */
export function keyOf(s: State): number {
  const flags =
    Number(s.suspendHeld) |
    (Number(s.pauseHeld) << 1) |
    (Number(s.owesUsed) << 2) |
    (Number(s.changeHeld) << 3) |
    (Number(s.owesChange) << 4) |
    (Number(s.kick) << 5) |
    (Number(s.usedInterrupt) << 6) |
    (Number(s.configInterrupt) << 7) |
    (Number(s.stale) << 8) |
    (Number(s.untold) << 9);
  const places = `${s.offered},${s.available},${s.taken},${s.used},${s.out}`;
  let number = PLACES.get(places);
  if (number === undefined) {
    number = PLACES.size;
    PLACES.set(places, number);
    if (number >= MOST_PLACES) throw new RangeError('too many places for one number');
  }
  // 18 bits, 15 and 12 of them.
  return (s.status | (flags << 8)) * 2 ** 27 + words(s) * MOST_PLACES + number;
}

const PHASES: Readonly<Record<Phase, number>> = {
  'wrote 00': 0,
  'wrote 01': 1,
  'wrote 03': 2,
  'wrote 0b': 3,
  'wrote 0f': 4,
  running: 5,
  'resetting a queue': 6,
  suspending: 7,
  suspended: 8,
  resuming: 9,
  stuck: 10,
  failed: 11,
};
const RESTS: Readonly<Record<State['rest'], number>> = { open: 0, stopping: 1, quiet: 2, starting: 3 };
const QUEUES: Readonly<Record<State['queue'], number>> = { off: 0, enabled: 1, live: 2 };
const WISHES: Readonly<Record<Wish, number>> = { each: 0, next: 1, none: 2 };

/** All that is one of a few words, as a number. */
function words(s: State): number {
  const ends = PHASES[s.phase] | (RESTS[s.rest] << 4) | (QUEUES[s.queue] << 6);
  return ends | (WISHES[s.deviceWants] << 8) | (WISHES[s.driverWants] << 10) | (s.orphans << 12);
}
