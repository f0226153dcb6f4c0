import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';

/**
 * Many subscribers in a process of their own, on bare TCP so that both ends fit one machine:
 * `node live-crowd.ts <url of the WebSocket> <API key> <count>` prints "ready" when all were greeted, "received" when
 * all have got an event, and "lost <n>" as soon as a connection ends.
 */

/** Handshakes under way at once. */
const WAVE = 100;

const [address, key, number] = process.argv.slice(2);
if (!address || !key || !number) throw new Error('usage: live-crowd.ts <url> <API key> <count>');
const { hostname, port, pathname } = new URL(address);
const count = Number(number);

let received = 0;
let lost = 0;

/** Opens one connection; resolves when it was greeted. */
function subscribe(): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    let isGreeted = false;
    let hasReceived = false;
    socket.on('data', (bytes) => {
      // Frames here are small enough to come in one piece; one that did not would leave the count short.
      if (!isGreeted && bytes.includes('"type":"hello"')) {
        isGreeted = true;
        resolve(socket);
      }
      if (!hasReceived && bytes.includes('"type":"event"')) {
        hasReceived = true;
        received += 1;
        if (received === count) console.log('received');
      }
    });
    socket.on('error', reject);
    socket.on('close', () => {
      lost += 1;
      console.log(`lost ${lost}`);
      reject(new Error('closed'));
    });
    socket.write(
      `GET ${pathname} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n` +
        `Authorization: Bearer ${key}\r\n\r\n`,
    );
  });
}

for (let opened = 0; opened < count; opened += WAVE) {
  await Promise.all(Array.from({ length: Math.min(WAVE, count - opened) }, subscribe));
}
console.log('ready');
