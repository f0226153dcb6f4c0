import { vi } from 'vitest';
import { AlarmClock } from '../../actors/alarm-clock.ts';
import { type ContextCommand, type ContextState, contextDecider } from '../../actors/context.ts';
import { isRefusal } from '../../actors/decider.ts';
import { ProcessRunner } from '../../actors/process.ts';
import type { ContextEvent } from '../../events/context.ts';
import { chittyOs, ServiceMemory } from '../../src/chittyos/services.ts';
import { provisioningProcess } from '../../src/delivery/provisioning.ts';
import { NO_PAST, specify } from './given.ts';
import { ADMINISTRATOR } from './principals.ts';

/** Ids that the real authority has minted. */
const CHITTY_IDS = ['03-1-USA-5537-P-2602-0-38', '03-1-USA-7165-T-2602-0-13', '03-1-USA-1399-T-2603-0-70'];

/** Key material that ChittyAuth gives out; it may be in no event. */
export const SECRETS = ['cak_key-material', 'car_refresh-material'] as const;

/** What the context came of: the trace of a request. */
export const CORRELATION_ID = '4bf92f3577b34da6a3ce929d0e0e4736';

/** How long the work of an alarm may take here: more than a step does whose service hangs. */
const ALARM_MAX_MS = 30_000;

/** What a new context is. */
const CREATED: Extract<ContextCommand, { type: 'create' }>['data'] = {
  name: 'A context',
  description: '',
  owner: 'act_1',
  systems: ['github'],
  tools: ['linear'],
  metadata: {},
};

/** A request as a service gets it. */
interface Received {
  readonly path: string;
  readonly key: string | null;
  readonly traceparent: string | null;
  readonly body: string;
}

/** What a service does with a request instead: answers otherwise, or does it and loses the answer. */
type Fault = { readonly answer: () => Response } | 'lose-answer' | 'hang';

/** The services that provisioning asks, in memory. */
class FakeServices {
  readonly received: Received[] = [];
  /** What goes wrong next, by path; each once. */
  readonly faults = new Map<string, Fault[]>();
  /** What goes wrong every time, by path. */
  readonly broken = new Map<string, Fault>();
  /** The ids that were minted. */
  readonly minted: string[] = [];
  readonly #answers = new Map<string, object>();

  async fetch(url: string, init: RequestInit): Promise<Response> {
    const path = new URL(url).pathname;
    const headers = new Headers(init.headers);
    const key = headers.get('Idempotency-Key');
    this.received.push({ path, key, traceparent: headers.get('traceparent'), body: String(init.body) });
    const fault = this.faults.get(path)?.shift() ?? this.broken.get(path);
    if (fault === 'hang') return new Promise(() => {});
    if (fault !== undefined && fault !== 'lose-answer') return fault.answer();
    const remembered = key === null ? undefined : this.#answers.get(key);
    const answer = remembered ?? this.#serve(path);
    if (key !== null) this.#answers.set(key, answer);
    return fault === 'lose-answer' ? new Response('lost', { status: 503 }) : Response.json(answer);
  }

  #serve(path: string): object {
    switch (path) {
      case '/v1/mint': {
        const id = CHITTY_IDS[this.minted.length] ?? '';
        this.minted.push(id);
        return { id, did: `did:chitty:${id}` };
      }
      case '/api/initialize':
        return { id: 'dna_1' };
      case '/api/keys/provision':
        return { keyId: 'key_1', key: SECRETS[0], refreshToken: SECRETS[1] };
      case '/api/services/register':
        return { registered: true };
      case '/api/verify/context':
        return { id: 'ver_1', status: 'verified' };
      default:
        return { id: 'cert_1' };
    }
  }
}

/** A context whose only life is that it is provisioned: its log, the process, an alarm, and the services around it. */
export class ProvisioningWorld {
  readonly services = new FakeServices();
  readonly events: ContextEvent[] = [];
  alarmAt: number | null = null;
  /** How many of the next reports the log does not take. */
  refusals = 0;
  #isAlarmRunning = false;
  #clock: AlarmClock;
  #runner: ProcessRunner<ContextState, ContextCommand>;

  constructor() {
    this.#clock = this.#wound();
    this.#runner = this.#wakeUp();
  }

  get state(): ContextState {
    return specify(contextDecider, 'context/ctx_1').given(this.events).state;
  }

  get types(): string[] {
    return this.events.map(({ type }) => type);
  }

  /** Creates the context and lets its process run as far as it comes without waiting for the alarm. */
  async create(fields: Partial<typeof CREATED> = {}): Promise<void> {
    await this.execute({ type: 'create', data: { ...CREATED, ...fields } });
  }

  /** Carries out a command, as the object would. */
  async execute(command: ContextCommand): Promise<void> {
    this.#append(command);
    await this.run();
  }

  /** Lets the process run; pauses within a call pass at once, those between attempts at a step do not. */
  async run(): Promise<void> {
    void this.#runner.run();
    await vi.advanceTimersByTimeAsync(900);
  }

  /** The object is lost with what was under way in it; its log and its alarm are not. */
  evict(): void {
    // The platform fires an alarm again whose handler did not end.
    if (this.#isAlarmRunning) this.alarmAt = Date.now();
    this.#isAlarmRunning = false;
    this.#runner = this.#wakeUp();
  }

  /** Lets time pass until the alarm fires: not before its work of the last time has ended. */
  async nextAlarm(): Promise<void> {
    for (let waits = 0; this.#isAlarmRunning && waits < ALARM_MAX_MS / 1_000; waits++) {
      await vi.advanceTimersByTimeAsync(1_000);
    }
    if (this.alarmAt === null) throw new Error('no alarm is set: nothing would ever go on');
    vi.setSystemTime(Math.max(Date.now(), this.alarmAt));
    this.alarmAt = null;
    this.#isAlarmRunning = true;
    const runner = this.#runner;
    void this.#clock
      .ring(() => runner.alarm())
      .then(() => {
        if (runner === this.#runner) this.#isAlarmRunning = false;
      });
    await vi.advanceTimersByTimeAsync(900);
  }

  /** Fires the alarm until everything is provisioned. */
  async finish(): Promise<void> {
    for (let alarms = 0; this.state?.provisioning.status !== 'complete'; alarms++) {
      if (alarms === 50) throw new Error(`provisioning did not come to an end: ${this.types}`);
      await this.nextAlarm();
    }
  }

  #append(command: ContextCommand): void {
    const decision = contextDecider.decide(command, this.state, ADMINISTRATOR, Date.now(), NO_PAST);
    if (isRefusal(decision)) throw new Error(decision.detail);
    this.events.push(...decision);
  }

  #wound(): AlarmClock {
    const storage = {
      getAlarm: async () => null,
      sync: async () => {},
      setAlarm: async (time: number) => {
        this.alarmAt = time;
      },
    };
    return new AlarmClock({ storage, blockConcurrencyWhile: async (work) => work() }, false);
  }

  #wakeUp(): ProcessRunner<ContextState, ContextCommand> {
    // Like an object's, it is a new one when the object wakes up.
    this.#clock = this.#wound();
    const services = chittyOs({ CHITTYOS: this.services, CHITTYOS_TOKEN: 'token' }, { memory: new ServiceMemory() });
    const runner = new ProcessRunner<ContextState, ContextCommand>(
      this.#clock,
      {
        state: () => this.state,
        version: () => this.events.length,
        correlationId: () => CORRELATION_ID,
        record: (command) => {
          // What an object that was lost had under way comes to nothing.
          if (runner !== this.#runner) return;
          if (this.refusals > 0) this.refusals -= 1;
          else this.#append(command);
        },
      },
      provisioningProcess(services, 'https://connect.test'),
    );
    return runner;
  }
}
