import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';

/**
 * Opens a WebSocket that reads no byte after the handshake, and confirms nothing: its system tells the server to stop sending.
 *
 * @param url of a context's live stream
 * @throws when it cannot be connected
 */
export function deafSubscriber(url: string, apiKey: string): Promise<Socket> {
  const { hostname, port, pathname } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    socket.on('error', reject);
    socket.once('data', () => {
      socket.pause();
      resolve(socket);
    });
    socket.write(
      `GET ${pathname} HTTP/1.1\r\nHost: ${hostname}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n` +
        `Authorization: Bearer ${apiKey}\r\n\r\n`,
    );
  });
}

/** So long nothing comes from a server that has sent all it will, in milliseconds. */
const QUIET_MS = 5_000;

/** Reads what waits for such a subscriber. @returns how many bytes came until nothing more did for five seconds */
export function readAtLast(socket: Socket): Promise<number> {
  return new Promise((resolve) => {
    let bytes = 0;
    const done = () => resolve(bytes);
    let quiet = setTimeout(done, QUIET_MS);
    socket.on('close', done);
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      clearTimeout(quiet);
      quiet = setTimeout(done, QUIET_MS);
    });
    socket.resume();
  });
}
