import { connect } from 'node:net';

const PROMPT = '(qemu) ';

/** What a QEMU whose monitor is at a socket answers to a command for people. */
export async function monitor(path: string, command: string): Promise<string> {
  const socket = connect(path).setEncoding('utf8');
  let said = '';
  try {
    for await (const text of socket) {
      const asked = said.includes(PROMPT);
      said += text as string;
      const [, answer, end] = said.split(PROMPT);
      if (end !== undefined) return answer!;
      if (!asked && answer !== undefined) socket.write(`${command}\n`);
    }
  } finally {
    socket.destroy();
  }
  throw new Error(`QEMU has ended: ${said}`);
}
