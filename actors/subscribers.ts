import type { ColdHistory } from './cold-history.ts';
import type { EndedAccess } from './ended-access.ts';
import type { EventLog, StoredEvent } from './log.ts';
import { Presence, type Present } from './presence.ts';
import type { Principal } from './principal.ts';
import { UnreadableHistory } from './unreadable-history.ts';

/** Characters that may be on their way to a subscriber unconfirmed. The runtime tells nobody how much it has buffered
 * for a socket (workerd issue 988), so a bound on memory has to be part of the protocol. */
const WINDOW_CHARS = 1024 * 1024;
/** Characters after which a subscriber is asked to confirm: four times per window, so that a good one never stalls. */
const SYNC_EVERY_CHARS = WINDOW_CHARS / 4;
/** How long a subscriber may leave a full window unconfirmed before it is closed. */
const STALL_MS = 20_000;
/** Events read from the log at once while a subscriber catches up. */
const PAGE_EVENTS = 500;
/** Characters of the longest message that a subscriber has reason to send. */
const MESSAGE_CHARS = 200;

/** WebSocket close codes of the live protocol (4000-4999 are the application's, RFC 6455 section 7.4.2). */
const CLOSE = {
  policy: 1008,
  failed: 1011,
  ended: 4401,
  unauthorized: 4403,
  slow: 4408,
  deleted: 4410,
} as const;

/** How long a subscriber has to close its socket itself, once it was told to. */
const CLOSE_MS = 1_000;
/** How often it is looked for expired credentials while the alarm that is set for them cannot ring. */
const EXPIRY_CHECK_MS = 1_000;

/** What survives hibernation with each socket; it is written rarely, because each write serializes it. */
interface Attachment {
  /** The last version that was sent when this was written. */
  readonly version: number;
  /** Whether it was sent nothing more from then on. One that was not has been sent everything since. */
  readonly isStalled: boolean;
  readonly sentChars: number;
  readonly confirmedChars: number;
  readonly principal: Principal;
  /** Left out for those who did not ask for it. */
  readonly wantsPresence?: true;
}

interface Subscriber {
  readonly socket: WebSocket;
  readonly principal: Principal;
  readonly wantsPresence: boolean;
  /** The last version that was sent. */
  version: number;
  sentChars: number;
  confirmedChars: number;
  /** `sentChars` when a confirmation was last asked for. */
  askedAt: number;
  /** The timer that closes it; set while it is stalled. */
  stalled: ReturnType<typeof setTimeout> | null;
  /** Whether what comes next for it is being fetched, because it is cold. */
  isWaiting: boolean;
}

/** What the subscribers need to know of their object. */
export interface LiveSource {
  readonly log: EventLog;
  readonly cold: ColdHistory;
  version(): number;
  /** Whether the stream has ended for its readers, because its subject was deleted. */
  isClosed(): boolean;
  /** The state as clients see it, as JSON text. */
  stateText(): string;
  /** Whether this principal may watch, as things are now. */
  mayWatch(principal: Principal): boolean;
}

/**
 * The live subscribers of one object, over hibernating WebSockets. The log is their buffer: a subscriber that does not
 * keep up is sent nothing more until it confirms, and then goes on from the log where it stood. So a slow one costs the
 * writer and the others nothing, and every subscriber sees each event once and in order.
 */
export class Subscribers {
  readonly #context: DurableObjectState;
  readonly #source: LiveSource;
  /** Null until first needed: an object that wakes for something else does not pay for 10,000 sockets. */
  #subscribers: Map<WebSocket, Subscriber> | null = null;
  /** Sockets that were told to close, and with which code. */
  readonly #closing = new Map<WebSocket, number>();
  readonly #wantingPresence = new Set<Subscriber>();
  readonly #presence = new Presence<Subscriber>({
    all: () => this.#all().values(),
    wanting: () => {
      this.#all();
      return this.#wantingPresence;
    },
    send: (subscriber, frame) => this.#sendAside(subscriber, frame),
  });

  constructor(context: DurableObjectState, source: LiveSource) {
    this.#context = context;
    this.#source = source;
    context.setWebSocketAutoResponse(new WebSocketRequestResponsePair('ping', 'pong'));
  }

  /** Takes a socket: greets it and sends the events after `after`. In one turn, so that nothing falls in between. */
  accept(socket: WebSocket, after: number, principal: Principal, wantsPresence: boolean): void {
    const subscribers = this.#all();
    this.#context.acceptWebSocket(socket);
    const counts = { sentChars: 0, confirmedChars: 0, askedAt: 0 };
    const subscriber = { socket, principal, wantsPresence, version: after, ...counts, stalled: null, isWaiting: false };
    subscribers.set(socket, subscriber);
    const hello = `{"type":"hello","version":${this.#source.version()},"state":${this.#source.stateText()}}`;
    this.#send(subscriber, hello);
    this.#catchUp(subscriber);
    this.#remember(subscriber);
    if (wantsPresence) {
      this.#wantingPresence.add(subscriber);
      this.#presence.greet(subscriber);
    }
    this.#presence.changed();
  }

  /** Who watches now. */
  present(): Present {
    return this.#presence.list();
  }

  /** Sends one event to everyone who has all the earlier ones. */
  publish(version: number, eventText: string): void {
    const frame = eventFrame(eventText);
    for (const subscriber of this.#all().values()) {
      if (isCurrent(subscriber)) this.#sendEvent(subscriber, version, frame);
    }
  }

  /** Closes every socket that has seen the end; one that is stalled is closed when it gets there. */
  closeEnded(): void {
    for (const subscriber of this.#all().values()) {
      if (isCurrent(subscriber)) this.#close(subscriber, CLOSE.deleted, 'the context was deleted');
    }
  }

  /** Closes every socket whose principal may not watch any more. */
  closeUnauthorized(): void {
    for (const subscriber of this.#all().values()) {
      if (!this.#source.mayWatch(subscriber.principal)) {
        this.#close(subscriber, CLOSE.unauthorized, 'you have no access any more');
      }
    }
  }

  /** Closes every socket that was opened by a credential which has ended. */
  end(ended: EndedAccess): void {
    for (const subscriber of this.#all().values()) {
      if (comesOf(subscriber.principal, ended)) this.#close(subscriber, CLOSE.ended, 'your credential has ended');
    }
  }

  /** Closes the sockets whose credentials have expired. @returns when the next one does (ms since 1970), null for none */
  closeExpired(now: number): number | null {
    let next: number | null = null;
    for (const subscriber of this.#all().values()) {
      const { expiresAt } = subscriber.principal;
      if (expiresAt === null) continue;
      if (expiresAt <= now) this.#closeExpired(subscriber);
      else next = Math.min(next ?? expiresAt, expiresAt);
    }
    return next;
  }

  /** Closes the sockets whose credentials expire while the alarm works: however long that takes, no other rings. */
  async closeExpiredDuring(work: () => Promise<unknown>): Promise<void> {
    this.closeExpired(Date.now());
    const timer = setInterval(() => this.closeExpired(Date.now()), EXPIRY_CHECK_MS);
    try {
      await work();
    } finally {
      clearInterval(timer);
    }
  }

  /** Takes a subscriber's message: only the echo of a `sync` frame has a meaning. */
  received(socket: WebSocket, message: string | ArrayBuffer): void {
    const subscriber = this.#all().get(socket);
    if (!subscriber) return;
    const sent = confirmedChars(message);
    if (sent === null) {
      this.#close(subscriber, CLOSE.policy, 'send "ping", or "sync" frames back as they came; nothing else');
      return;
    }
    subscriber.confirmedChars = Math.max(subscriber.confirmedChars, Math.min(sent, subscriber.sentChars));
    if (subscriber.stalled !== null && !windowIsFull(subscriber)) {
      clearTimeout(subscriber.stalled);
      subscriber.stalled = null;
      this.#catchUp(subscriber);
    }
    this.#remember(subscriber);
  }

  /** Forgets a socket that its other end has closed or lost, and answers the close, which the runtime does not. */
  closed(socket: WebSocket, code: number): void {
    const subscriber = this.#all().get(socket);
    if (subscriber) this.#forget(subscriber);
    // Also of one that was gone when the object woke up for this.
    else this.#presence.changed();
    const told = this.#closing.get(socket);
    this.#closing.delete(socket);
    try {
      // 1005 and 1006 stand for "no code"; they cannot be sent (RFC 6455, section 7.4.1).
      socket.close(told ?? (code === 1005 || code === 1006 ? 1000 : code));
    } catch {
      // It is closed already.
    }
  }

  #all(): Map<WebSocket, Subscriber> {
    if (this.#subscribers) return this.#subscribers;
    this.#subscribers = new Map();
    const since = remembering((version) => this.#source.log.charsAfter(version, FRAME_CHARS));
    for (const socket of this.#context.getWebSockets()) {
      // One that is closing already is still listed until its close is complete.
      if (socket.readyState === WebSocket.OPEN) this.#wake(socket, this.#subscribers, since);
    }
    return this.#subscribers;
  }

  /** Takes a socket up again after the object was asleep, during which nothing can have been appended. */
  #wake(socket: WebSocket, subscribers: Map<WebSocket, Subscriber>, since: (version: number) => number): void {
    const attachment: Attachment = socket.deserializeAttachment();
    const { version, isStalled, sentChars, confirmedChars, principal, wantsPresence = false } = attachment;
    const counts = { sentChars, confirmedChars, askedAt: sentChars };
    const subscriber = { socket, principal, wantsPresence, version, ...counts, stalled: null, isWaiting: false };
    subscribers.set(socket, subscriber);
    if (wantsPresence) this.#wantingPresence.add(subscriber);
    if (isStalled) {
      if (windowIsFull(subscriber)) this.#stall(subscriber);
      else this.#catchUp(subscriber);
      return;
    }
    subscriber.version = this.#source.version();
    subscriber.sentChars += since(version);
  }

  #catchUp(subscriber: Subscriber): void {
    const { log, cold } = this.#source;
    while (this.#isReceiving(subscriber) && subscriber.version < this.#source.version()) {
      const page = cold.reading(() => log.read(subscriber.version, PAGE_EVENTS, SYNC_EVERY_CHARS));
      if (page instanceof Promise) this.#goOnWith(subscriber, page);
      else this.#sendPage(subscriber, page);
    }
    if (this.#isReceiving(subscriber) && this.#source.isClosed()) {
      this.#close(subscriber, CLOSE.deleted, 'the context was deleted');
    }
  }

  #isReceiving(subscriber: Subscriber): boolean {
    return isCurrent(subscriber) && this.#all().has(subscriber.socket);
  }

  #sendPage(subscriber: Subscriber, page: readonly StoredEvent[]): void {
    for (const event of page) {
      if (this.#isReceiving(subscriber)) this.#sendEvent(subscriber, event.version, eventFrame(event.text));
    }
  }

  /** Goes on with a page when it is there; the object does not sleep meanwhile. What cannot be read is never skipped. */
  #goOnWith(subscriber: Subscriber, page: Promise<readonly StoredEvent[]>): void {
    subscriber.isWaiting = true;
    const goingOn = page.then(
      (events) => {
        subscriber.isWaiting = false;
        this.#sendPage(subscriber, events);
        this.#catchUp(subscriber);
        if (this.#all().has(subscriber.socket)) this.#remember(subscriber);
      },
      (error) => {
        subscriber.isWaiting = false;
        const { first, last } = error instanceof UnreadableHistory ? error.damage : { first: '?', last: '?' };
        if (this.#all().has(subscriber.socket))
          this.#close(subscriber, CLOSE.failed, `versions ${first} to ${last} cannot be read`);
      },
    );
    this.#context.waitUntil(goingOn);
  }

  #sendEvent(subscriber: Subscriber, version: number, frame: string): void {
    if (hasExpired(subscriber)) {
      this.#closeExpired(subscriber);
      return;
    }
    if (windowIsFull(subscriber)) {
      this.#stall(subscriber);
      this.#remember(subscriber);
      return;
    }
    this.#send(subscriber, frame);
    subscriber.version = version;
    if (this.#askToConfirm(subscriber)) this.#remember(subscriber);
  }

  /** Sends a frame that is in no log: who has no room for it goes without, and nobody waits for them. */
  #sendAside(subscriber: Subscriber, frame: string): void {
    if (subscriber.stalled !== null || windowIsFull(subscriber)) return;
    if (hasExpired(subscriber)) {
      this.#closeExpired(subscriber);
      return;
    }
    this.#send(subscriber, frame);
    this.#askToConfirm(subscriber);
    // Each time: what was sent beside the log cannot be counted from it when the object wakes up.
    this.#remember(subscriber);
  }

  /** Asks for a confirmation when so much was sent that one is due. @returns whether it was */
  #askToConfirm(subscriber: Subscriber): boolean {
    if (subscriber.sentChars - subscriber.askedAt < SYNC_EVERY_CHARS) return false;
    subscriber.askedAt = subscriber.sentChars;
    this.#send(subscriber, `{"type":"sync","version":${subscriber.version},"sent":${subscriber.sentChars}}`);
    return true;
  }

  #send(subscriber: Subscriber, frame: string): void {
    try {
      subscriber.socket.send(frame);
      subscriber.sentChars += frame.length;
    } catch {
      // The socket was closed from the other side and its close event has not come yet.
      this.#forget(subscriber);
    }
  }

  #stall(subscriber: Subscriber): void {
    subscriber.stalled = setTimeout(() => {
      this.#close(subscriber, CLOSE.slow, 'too slow: answer "sync" frames by sending them back');
    }, STALL_MS);
  }

  /**
   * Tells a subscriber to close, and closes its socket if it does not. A close that begins here outside of one of the
   * socket's own events leaves the connection open until the object has been idle for ten seconds; one that the other
   * end begins and `closed` answers is prompt.
   */
  #close(subscriber: Subscriber, code: number, reason: string): void {
    const { socket } = subscriber;
    this.#send(subscriber, JSON.stringify({ type: 'close', code, reason }));
    this.#forget(subscriber);
    this.#closing.set(socket, code);
    setTimeout(() => {
      if (this.#closing.delete(socket)) socket.close(code, reason);
    }, CLOSE_MS);
  }

  #closeExpired(subscriber: Subscriber): void {
    this.#close(subscriber, CLOSE.ended, 'your credential has expired');
  }

  #forget(subscriber: Subscriber): void {
    if (subscriber.stalled !== null) clearTimeout(subscriber.stalled);
    this.#subscribers?.delete(subscriber.socket);
    this.#wantingPresence.delete(subscriber);
    this.#presence.changed();
  }

  #remember(subscriber: Subscriber): void {
    const { socket, principal, wantsPresence, version, sentChars, confirmedChars } = subscriber;
    const isStalled = !isCurrent(subscriber);
    const wish = wantsPresence && ({ wantsPresence } as const);
    const attachment: Attachment = { version, isStalled, sentChars, confirmedChars, principal, ...wish };
    socket.serializeAttachment(attachment);
  }
}

/** Whether any part of what a principal is has ended. */
function comesOf({ actor, credential, chain }: Principal, ended: EndedAccess): boolean {
  return (
    ended.actors?.some((id) => id === actor || chain.some(({ by }) => by === id)) ||
    ended.credentials?.includes(credential.id) ||
    ended.delegations?.some((id) => chain.some((link) => link.id === id)) ||
    false
  );
}

/** Whether it was opened with a credential that has expired. No timer may be late by an event. */
function hasExpired({ principal: { expiresAt } }: Subscriber): boolean {
  return expiresAt !== null && expiresAt <= Date.now();
}

/** Characters that a frame adds to its event. */
const FRAME_CHARS = eventFrame('').length;

/** A function of a number that computes each value once. */
function remembering(compute: (key: number) => number): (key: number) => number {
  const known = new Map<number, number>();
  return (key) => {
    const value = known.get(key) ?? compute(key);
    known.set(key, value);
    return value;
  };
}

/** The frame that carries one event. */
function eventFrame(eventText: string): string {
  return `{"type":"event","event":${eventText}}`;
}

/** Whether it has been sent everything so far and is sent what comes. */
function isCurrent({ stalled, isWaiting }: Subscriber): boolean {
  return stalled === null && !isWaiting;
}

function windowIsFull(subscriber: Subscriber): boolean {
  return subscriber.sentChars - subscriber.confirmedChars >= WINDOW_CHARS;
}

/** How many characters the echo of a `sync` frame confirms, null when the message is something else. */
function confirmedChars(message: string | ArrayBuffer): number | null {
  if (typeof message !== 'string' || message.length > MESSAGE_CHARS) return null;
  try {
    const frame: unknown = JSON.parse(message);
    if (typeof frame !== 'object' || frame === null || !('type' in frame) || frame.type !== 'sync') return null;
    return 'sent' in frame && Number.isSafeInteger(frame.sent) ? Number(frame.sent) : null;
  } catch {
    return null;
  }
}
