/**
 * What a suspend and a resume have to stand, numbered as in docs/cases.md: which cases of `virtio check` walk it, by their names,
 * and where it is shown instead or besides.
 */
export interface Situation {
  readonly what: string;
  readonly device?: readonly string[];
  readonly driver?: readonly string[];
  /** Not walked, or not all of it: why, and where else. */
  readonly rest?: string;
}

const WRITES_WHILE_SUSPENDING = [0x1f, 0x0f, 0x0b, 0x03].map(
  (value) => `a write of 0x${value.toString(16).padStart(2, '0')} while suspending changes nothing`,
);
const WRITES_AT_REST = [0x1b, 0x0b, 0x03].map(
  (value) => `a write of 0x${value.toString(16).padStart(2, '0')} at rest changes nothing`,
);
const waitingFor = (kind: string): string => `buffers that only wait delay no suspend of the ${kind}, and stay with it`;
const comingTo = (kind: string): string =>
  `what comes to the ${kind} at rest touches no buffer and tells nobody before the resume`;
const KINDS = ['console', 'entropy device', 'network device'];
const IDLE = 'an idle device is suspended, and keeps its other bits';
const EITHER_FORM = 'a request without DRIVER_OK suspends, too; one without SUSPEND resumes';
const IN_PROCESSING = 'what is in processing is used and notified before the device rests';
const SEVERAL_QUEUES =
  'what is in processing from several queues, and ends out of order, is used before the device rests';
const WAITS_IN_RING = 'requests that wait in the ring are done after the resume, without another kick';
const TWO_RESIZES = 'two resizes at rest are neither shown nor told before the resume, and told once then';
const CHANGES = ['console, its size', 'network device, its link'].map(
  (what) => `a change of the ${what}, at rest is neither shown nor told before the resume, and told once then`,
);
const READS = 'positions go on over a hundred suspends under load, each read done once';
const WRITTEN = 'what was written over a hundred suspends under load is read back';
const EACH_POSITION =
  'a suspend at each position of the ring, in rounds of either wrap counter, loses and repeats nothing';
const KICKS_AT_REST =
  'kicks of every queue and new buffers at rest are left alone until the resume, also with anything in its memory';
const REFUSED_WAKE =
  'a resume that cannot be shows DEVICE_NEEDS_RESET and never a running device, and a reset recovers';
const ONCE = 'a device that is suspended at once, and runs again at once, each when it is told once';
const TAKES_ITS_TIME = [
  'a device that takes its time: shows 0x0f and 0x1f on the way down, 0x1b and 0x1f on the way up',
  'a device that takes its time: shows 0x1f on the way down, 0x1b on the way up',
];
const LOOKED_AT = 'a device that ends its requests when the driver has looked at it three times';
const NOTHING_TAKEN = 'a device that has taken nothing before the rest, and finds it unchanged after it';
const FAILED_SUSPEND =
  'a suspend that fails: DEVICE_NEEDS_RESET; requests that are out are lost, and their callers are told, or are done again';
const FAILED_AT_REST = 'a device that fails at rest: the resume finds DEVICE_NEEDS_RESET';
const RESUME_FAILS = 'a resume that fails: DEVICE_NEEDS_RESET';
const SUSPEND_NEVER_ENDS = 'a suspend that never ends';
const RESUME_NEVER_ENDS = 'a resume that never ends';
const MANY = 'many suspends under load';

const ofDevice: readonly Situation[] = [
  {
    what: 'The feature is bit 43, and no other one',
    device: ['VIRTIO_F_SUSPEND is offered as bit 43 and can be had; bit 42 is left to network devices'],
  },
  { what: 'SUSPEND without the feature', device: ['SUSPEND means nothing when it was not negotiated'] },
  {
    what: 'SUSPEND in each step of the initialisation',
    device: ['SUSPEND means nothing in each step of the initialisation'],
  },
  {
    what: 'SUSPEND in the write that sets DRIVER_OK',
    device: ['SUSPEND together with the first DRIVER_OK starts the device'],
  },
  {
    what: 'SUSPEND and DRIVER_OK after features were refused',
    device: ['a choice of features that is refused does not start the device'],
  },
  { what: 'A suspend without queues, and with idle ones', device: ['a device without a queue is suspended', IDLE] },
  { what: 'The bits of an idle device that is suspended', device: [IDLE] },
  { what: 'A request to suspend that has dropped DRIVER_OK', device: [EITHER_FORM] },
  { what: 'A slow request is used before the rest shows', device: [IN_PROCESSING] },
  {
    what: 'Its notification is there before the rest shows, by the interrupt status or a message',
    device: [IN_PROCESSING],
    rest: 'Over PCI packed rings have MSI-X, the other ones INTx.',
  },
  { what: 'Requests of several queues that end out of order', device: [SEVERAL_QUEUES] },
  { what: 'Buffers that are available and not taken', device: [WAITS_IN_RING] },
  { what: 'A network device full of receive buffers', device: [waitingFor('network device')] },
  {
    what: 'Consoles, entropy devices and sockets with buffers that wait',
    device: [waitingFor('console'), waitingFor('entropy device')],
    rest: 'There is no socket device here.',
  },
  { what: 'Balloon statistics stay with the device', rest: 'There is no balloon device here.' },
  {
    what: 'A socket device whose reply has no buffer to go to',
    rest: 'There is no socket device here.',
  },
  {
    what: 'Used buffers that are held back to be told of together',
    device: ['buffers that are used in order come back in order, and all of a batch, before the device rests'],
    rest: 'A device here holds back only what is used in order. A batch: `test/suspend/entering.test.ts`.',
  },
  {
    what: 'A command of a control queue, and its effect',
    rest: 'No device here has a control queue. `test/suspend/entering.test.ts` has a type with one.',
  },
  { what: 'SUSPEND written again while suspending', device: WRITES_WHILE_SUSPENDING.slice(0, 1) },
  { what: 'DRIVER_OK without SUSPEND written while suspending', device: WRITES_WHILE_SUSPENDING.slice(1, 2) },
  {
    what: 'Writes that drop other bits, while suspending and at rest',
    device: [...WRITES_WHILE_SUSPENDING.slice(2), ...WRITES_AT_REST.slice(1)],
  },
  {
    what: 'FAILED while suspending and at rest',
    device: ['FAILED while suspending does not resume, and a reset recovers', 'FAILED at rest does not resume'],
  },
  { what: 'Kicks of every queue at rest, with new buffers', device: [KICKS_AT_REST] },
  {
    what: 'Memory of queues that is anything at rest',
    device: ['the memory of a queue may be anything while the device rests, and is as before at the resume'],
    rest: 'Without any memory: `test/suspend/at-rest.test.ts`.',
  },
  { what: 'What comes from outside at rest', device: KINDS.map(comingTo) },
  { what: 'A resize, and a change of the link, at rest', device: [TWO_RESIZES, ...CHANGES] },
  { what: 'Several changes at rest are told once', device: [TWO_RESIZES] },
  {
    what: 'Configuration writes at rest',
    device: [
      'a write of the field writeback at rest has no effect, then and after the resume',
      'a write of the field writeback at rest does not come out with a later change of the configuration',
    ],
    rest: 'There is no other field here that a driver may write, but the next.',
  },
  {
    what: 'An emergency write to a console at rest',
    device: ['an emergency write at rest, which may be taken or not, leaves a console at rest'],
  },
  {
    what: 'Configuration reads at rest, within one generation',
    device: ['the configuration space reads the same at rest however often, within one generation'],
  },
  {
    what: 'Registers of queues at rest',
    device: ['all that can be read of the registers of each queue is the same before, during and after the rest'],
  },
  {
    what: 'An interrupt status that was set before the rest can be read and acknowledged, and is not set again',
    rest: 'The driver by hand is above the registers, and acknowledges at once. `test/unit/transports/pci/interrupt.test.ts`, and the rules of MMIO and PCI.',
  },
  {
    what: 'A queue that is enabled at rest',
    device: ['a queue that is enabled at rest is left alone until the resume'],
  },
  {
    what: 'A queue that is reset at rest',
    device: ['a queue whose reset was said to be done at rest is not used after the resume'],
  },
  { what: 'The status, read again and again at rest', device: WRITES_AT_REST },
  { what: 'SUSPEND written again at rest', device: WRITES_AT_REST.slice(0, 1) },
  {
    what: 'A message that its mask kept back before the rest goes out when it is unmasked, and no other does',
    rest: 'The driver by hand is above the registers. `test/suspend/msix.test.ts`.',
  },
  {
    what: 'A resume shows a running device when its queues are served',
    device: [IDLE, REFUSED_WAKE, 'a reset while resuming is a reset: what comes late changes nothing'],
    rest: 'What is walked is that it does not before its back-end works. Its queues: `test/suspend/leaving.test.ts`.',
  },
  { what: 'A request to resume that has dropped SUSPEND', device: [EITHER_FORM] },
  {
    what: 'The indices of a split ring go on over 65535',
    device: [EACH_POSITION],
    rest: 'Not over 65535: it takes 65,536 requests, and a trace of all of them. `test/suspend/leaving.test.ts` begins shortly before.',
  },
  { what: 'Positions and wrap counters of a packed ring', device: [EACH_POSITION, READS] },
  { what: 'Buffers of a packed ring that were used out of order', device: [IN_PROCESSING, SEVERAL_QUEUES] },
  {
    what: 'Buffers that are used in order: no other order, and no half of a batch',
    device: ['buffers that are used in order come back in order, and all of a batch, before the device rests'],
  },
  {
    what: 'Chains and indirect tables that wait over the rest are done once',
    device: [WAITS_IN_RING],
    rest: 'Chains in each kind of ring, tables in a split one.',
  },
  {
    what: 'The event index over many suspends: nobody sleeps over a buffer',
    device: ['with the event index no interrupt and no kick is lost over random suspends'],
    rest: '40 suspends; 10,000 are in `test/suspend/rings.test.ts`.',
  },
  {
    what: 'A notification whose position is an old one',
    device: ['a kick that says another position than the ring does no harm right after the resume'],
  },
  {
    what: 'Many suspends under load, reads and writes',
    device: [READS, WRITTEN],
    rest: '100 suspends; 1,000 are in `test/suspend/load.test.ts`.',
  },
  {
    what: 'A change before a suspend that follows at once is not forgotten',
    device: ['a change is not forgotten when the device is suspended again at once'],
  },
  {
    what: 'The same over PCI, MMIO and the window in the configuration space of PCI',
    rest: 'Each case runs over one way; run it over each. The window is in `test/unit/transports/pci/window.test.ts`.',
  },
  {
    what: 'A reset while suspending with a back-end that is stuck',
    device: ['a reset while suspending with a stuck disk ends, and what the disk does later touches no buffer'],
  },
  {
    what: 'A reset at rest',
    device: ['a reset at rest forgets everything: features, queues, and what was to be told'],
  },
  {
    what: 'A reset while resuming',
    device: ['a reset while resuming is a reset: what comes late changes nothing'],
  },
  {
    what: 'A suspend that fails',
    device: ['a suspend that cannot end shows DEVICE_NEEDS_RESET and never rest, is told, and only a reset helps'],
  },
  { what: 'A resume that fails', device: [REFUSED_WAKE] },
  {
    what: 'A back-end that is lost at rest',
    device: ['a device that fails at rest shows DEVICE_NEEDS_RESET, tells nobody, and does not run again'],
  },
  {
    what: 'SUSPEND written to a device that needs a reset',
    device: ['SUSPEND means nothing to a device that needs a reset'],
  },
  {
    what: 'SUSPEND after a reset and a choice of features without it',
    device: ['SUSPEND means nothing after a reset and a choice of features without it'],
  },
];

const ofDriver: readonly Situation[] = [
  {
    what: 'SUSPEND is written once, with all other bits kept, and only with the feature',
    driver: [ONCE, 'a device without VIRTIO_F_SUSPEND'],
  },
  {
    what: 'Both bits are waited for, and 0x4f and 0x5b are no success',
    driver: [...TAKES_ITS_TIME, FAILED_SUSPEND, FAILED_AT_REST],
  },
  {
    what: 'No buffer, no kick and no configuration write between the two requests, under load',
    driver: [LOOKED_AT, MANY, 'requests that come while the device is suspended'],
  },
  {
    what: 'Used buffers and changes that come while suspending',
    driver: ['a device that uses a buffer and whose configuration changes while it is being suspended', LOOKED_AT],
  },
  { what: 'The resume is written once, and waited for', driver: [ONCE, ...TAKES_ITS_TIME, NOTHING_TAKEN] },
  {
    what: 'DEVICE_NEEDS_RESET in either wait: the device is reset, and lost requests are accounted for',
    driver: [FAILED_SUSPEND, FAILED_AT_REST, RESUME_FAILS],
  },
  {
    what: 'A device that never finishes: FAILED, reset, no second request',
    driver: [SUSPEND_NEVER_ENDS, RESUME_NEVER_ENDS],
  },
  {
    what: 'A device that was reset meanwhile, and one that is gone',
    driver: [
      'a device that was reset behind its driver, and has lost everything',
      'a device that is reset while it is being suspended',
      'a device that is gone',
    ],
  },
  {
    what: 'After the resume the driver looks at its used rings, reads the configuration and kicks by itself',
    driver: ['a device whose configuration changes at rest'],
    rest: 'That it does so unasked, only a device shows that owes a notification or does not look into its queues, which no lawful one does. `test/unit/driver/suspend.test.ts`.',
  },
  { what: 'What the device has is not freed or used otherwise at rest', driver: [NOTHING_TAKEN] },
  {
    what: 'Bit 43 is not accepted by a driver that cannot suspend, and bit 42 means nothing',
    driver: ['a device that offers bits without a meaning'],
    rest: 'The judge cannot tell a driver that cannot suspend from another one; one that accepts bit 43 has to suspend.',
  },
];

export const situations: readonly Situation[] = [...ofDevice, ...ofDriver];
