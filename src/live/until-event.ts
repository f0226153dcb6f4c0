import type { AuthenticatedExchange } from '../http/exchange.ts';
import { CLOSE_ENDED, connect, type Frame } from './socket.ts';

/**
 * Waits until there is an event after `after`, or the stream ends for this reader. As a subscriber of the object, which
 * so can sleep meanwhile, and ends the waiting when the reader's credential does.
 *
 * @returns false when the credential has ended meanwhile; what there is to be had now is for the caller to look up
 */
export async function untilEvent(
  exchange: AuthenticatedExchange,
  context: string,
  after: number,
  timeoutMs: number,
): Promise<boolean> {
  const socket = await connect(exchange.env, context, after, exchange.principal);
  // It may not be watched any more: the look that follows says why.
  if (socket instanceof Response) return true;
  return new Promise((resolve) => {
    const finish = (isStillGood: boolean) => {
      clearTimeout(timer);
      socket.close();
      resolve(isStillGood);
    };
    const timer = setTimeout(() => finish(true), timeoutMs);
    socket.addEventListener('message', ({ data }) => {
      const frame: Frame = JSON.parse(String(data));
      if (frame.type === 'event') finish(true);
      if (frame.type === 'close') finish(frame.code !== CLOSE_ENDED);
    });
    socket.addEventListener('close', ({ code }) => finish(code !== CLOSE_ENDED));
    socket.addEventListener('error', () => finish(true));
    socket.accept();
  });
}
