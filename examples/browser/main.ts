// Linux in this page on a virtio disk of ours, saved and restored as a whole. To see it: `npx vite examples/browser`.
import { device, emulator, goOn, pause, restore, save } from './machine.ts';

const find = <E extends HTMLElement>(selector: string): E => document.querySelector<E>(selector)!;
const screen = find('pre');
const status = find<HTMLOutputElement>('output');
const input = find<HTMLInputElement>('input');

const buttons = [
  { button: find<HTMLButtonElement>('#pause'), action: pause, done: 'paused' },
  { button: find<HTMLButtonElement>('#save'), action: save, done: 'saved' },
  { button: find<HTMLButtonElement>('#restore'), action: restore, done: 'restored' },
  { button: find<HTMLButtonElement>('#continue'), action: goOn, done: 'running' },
];

/** A running machine can be paused; a paused one everything else. */
function enableButtons(): void {
  for (const { button, action } of buttons) button.disabled = device.paused === (action === pause);
}

for (const { button, action, done } of buttons) {
  button.addEventListener('click', async () => {
    for (const { button } of buttons) button.disabled = true;
    const started = performance.now();
    try {
      await action();
      const tookMs = Math.round(performance.now() - started);
      status.value = action === goOn ? done : `${done} in ${tookMs} ms`;
    } catch (error) {
      status.value = String(error);
    }
    enableButtons();
  });
}

emulator.add_listener('emulator-started', () => {
  if (status.value !== 'loading') return;
  status.value = 'running';
  enableButtons();
});

const ESCAPE = '\x1b';
/** What the guest's shell sends to a terminal that is more than this page. */
const forTerminals = new RegExp(`${ESCAPE}\\[[\\d;?]*[A-Za-z]|\r`, 'g');
const decoder = new TextDecoder();
let log = '';
let isShown = true;

emulator.add_listener('serial0-output-byte', (byte) => {
  log += decoder.decode(Uint8Array.of(byte), { stream: true });
  // The guest asks for the time of day, and for the kernel modules that it is to load.
  if (log.endsWith('guest: waiting for go\r\n')) emulator.serial0_send(`go ${Math.floor(Date.now() / 1000)} virtio\n`);
  if (isShown) setTimeout(showLog, 30);
  isShown = false;
});

function showLog(): void {
  isShown = true;
  log = log.slice(-100_000);
  screen.textContent = log.replace(forTerminals, '');
  screen.scrollTop = screen.scrollHeight;
}

find('form').addEventListener('submit', (event) => {
  event.preventDefault();
  emulator.serial0_send(`${input.value}\n`);
  input.value = '';
});
