import { isActorId } from '../events/actor-id.ts';
import type { DomainEvent } from '../events/envelope.ts';
import { isJsonObject, type Json, type JsonObject } from '../events/json.ts';
import { countSealed, ERASED, LOCKED, type PersonalField, readSealed, SEALED_MARK } from '../events/personal.ts';
import { openValue, type PersonalKey, sealValue } from '../events/personal-cipher.ts';
import type { Refusal } from './decider.ts';
import type { KeyWrap } from './key-wrap.ts';
import { PersonalKeys } from './personal-keys.ts';
import type { Principal } from './principal.ts';

/** Why a text that looks like sealed words is not taken. */
export const FORGED_WORDS: Refusal = {
  refused: 'invalid',
  detail: `A text begins with "${SEALED_MARK}", as only encrypted words do. Write it in another way.`,
};

/** Characters of opened words that are remembered at most. */
const REMEMBERED_CHARS = 1024 * 1024;

/** What became of making a stream known to somebody whose words it is to hold. */
export type Introduction = 'known' | 'erased' | 'unknown';

/** What a stream needs to hold people's words. */
export interface WordsPort {
  readonly wrap: KeyWrap;
  /** Tells an actor that this stream is going to hold words of theirs, so that it is found when they are to be erased. */
  introduce(subject: string, stream: string): Promise<Introduction>;
}

/** Seals values, for what is not marked in the schemas. */
export interface Sealer {
  /** Seals a value in somebody's name. */
  seal(subject: string, value: Json): Json;
  /** Lets sealed text of this stream stand as it is. */
  keep(text: string): Json;
  /** A value of this stream with the words that it holds. */
  open(value: Json): Json;
  /** Has the event refused. */
  refuse(refusal: Refusal): void;
}

/** Which words a kind of stream holds, and whose they are. */
export interface PersonalWords<State, Command, Event extends DomainEvent> {
  /** Whose words a command may bring: they are asked for a key before it is carried out. */
  subjectsOf(command: Command, state: State, by: Principal): readonly string[];
  /**
   * Seals what is not marked in the event's schema.
   *
   * @param state before the event, with its words sealed
   * @param at gives it as it was at an earlier version
   */
  seal?(event: Event, state: State, sealer: Sealer, at: (version: number) => State): Event['data'];
  /** Whether its sinks are given the words; they get the state as it is stored otherwise. */
  readonly areInSinks: boolean;
}

/**
 * The words of people in one stream. What is stored, hashed and sent on holds them sealed; here they are opened for those
 * who may read the stream, and for its decider.
 */
export class Words {
  readonly #keys: PersonalKeys;
  readonly #introduce: WordsPort['introduce'];
  /** Who knows that this stream holds their words, or has just been told. */
  readonly #introduced = new Set<string>();
  /** Who was erased everywhere while there was no stream yet that could say so. */
  readonly #barred = new Set<string>();
  readonly #stream: () => string;
  /** Opened words by their sealed text. */
  readonly #remembered = new Map<string, Json>();
  #rememberedChars = 0;
  /** Objects and arrays, opened: states share most of their parts with those before them. */
  #opened = new WeakMap<object, Json>();

  /** @param stream its name, empty before the first event */
  constructor(sql: SqlStorage, isWritten: boolean, port: WordsPort, stream: () => string) {
    this.#keys = new PersonalKeys(sql, isWritten, port.wrap);
    this.#introduce = port.introduce;
    this.#stream = stream;
  }

  /** The keys that have to do with it. */
  get keys(): PersonalKeys {
    return this.#keys;
  }

  /** Those of the actors who have to be told first that this stream is to hold words of theirs. */
  strangers(subjects: readonly string[], self: string): readonly string[] {
    return subjects.filter(
      (subject) =>
        subject !== self &&
        isActorId(subject) &&
        this.#keys.standing(subject) === 'none' &&
        !this.#introduced.has(subject),
    );
  }

  /** Tells them. @returns why one of them can have no words here; null when all can */
  async introduce(strangers: readonly string[], stream: string): Promise<Refusal | null> {
    for (const subject of strangers) {
      const introduction = await this.#introduce(subject, stream);
      // Erased meanwhile: what was answered before that counts no more.
      if (introduction === 'erased' || this.#barred.has(subject)) return erased(subject);
      if (introduction === 'unknown') {
        const detail = `There is no actor ${subject}, whose words these would be. Name another subject.`;
        return {
          refused: 'invalid',
          detail,
          errors: [{ pointer: '/subject', message: 'must be an actor who exists' }],
        };
      }
      this.#introduced.add(subject);
    }
    return null;
  }

  /** A state, or any other JSON value, as those see it who may read the stream. */
  open<Value>(value: Value): Value {
    // A value is opened to one of the same form: only strings in it change.
    return this.#keys.isEmpty ? value : (this.#open(value as Json) as Value);
  }

  /** The same for JSON text. */
  openText(text: string): string {
    return countSealed(text) === 0 ? text : JSON.stringify(this.open(JSON.parse(text)));
  }

  /**
   * Seals the words in an event's data.
   *
   * @param fields those that are marked in the schema
   * @param stream its name
   * @returns the data and how many values were sealed, or why they cannot be
   */
  seal<Data extends JsonObject>(
    data: Data,
    fields: readonly PersonalField[],
    who: { readonly author: string; readonly self: string },
    stream: string,
    more: (data: Data, sealer: Sealer) => Data,
  ): { readonly data: Data; readonly sealed: number } | Refusal {
    let refusal: Refusal | null = null;
    let sealed = 0;
    const seal = (subject: string, value: Json): Json => {
      const key = this.#keyFor(subject, who.self);
      if ('refused' in key) {
        refusal ??= key;
        return value;
      }
      if (countSealed(JSON.stringify(value)) > 0) {
        refusal ??= FORGED_WORDS;
        return value;
      }
      const text = sealValue(value, subject, key, stream);
      this.#remember(text, value);
      sealed += 1;
      return text;
    };
    const keep = (text: string) => {
      sealed += 1;
      return text;
    };
    const refuse = (why: Refusal) => {
      refusal ??= why;
    };
    const sealer: Sealer = { seal, keep, refuse, open: (value) => this.open(value) };
    // The service itself is nobody.
    const author = isActorId(who.author) ? who.author : '';
    const marked = fields.flatMap(({ name, whose }) => {
      const value = data[name];
      const subject = whose === 'self' ? who.self : author;
      return value === undefined || value === null || subject === '' ? [] : [[name, seal(subject, value)]];
    });
    const result = more(marked.length === 0 ? data : { ...data, ...Object.fromEntries(marked) }, sealer);
    return refusal ?? { data: result, sealed };
  }

  /** Forgets what was opened: a key is gone. @param subject whose */
  forget(subject: string): void {
    this.#introduced.delete(subject);
    this.#remembered.clear();
    this.#rememberedChars = 0;
    this.#opened = new WeakMap();
  }

  /** Takes no words of somebody any more, though nothing may be written yet that could say so. */
  bar(subject: string): void {
    this.#barred.add(subject);
    this.forget(subject);
  }

  #keyFor(subject: string, self: string): PersonalKey | Refusal {
    const standing = this.#keys.standing(subject);
    switch (standing) {
      case 'kept':
        // Words that cannot be opened any more are no reason to take no new ones.
        return this.#keys.get(subject) ?? this.#keys.make(subject);
      case 'gone':
        return erased(subject);
      case 'none': {
        if (this.#barred.has(subject)) return erased(subject);
        if (subject === self || !isActorId(subject) || this.#introduced.has(subject)) return this.#keys.make(subject);
        return {
          refused: 'conflict',
          detail: 'What is personal here has just been changed by somebody else. Try again.',
        };
      }
      default:
        return standing satisfies never;
    }
  }

  #open(value: Json): Json {
    if (typeof value === 'string') return value.startsWith(SEALED_MARK) ? this.#openWords(value) : value;
    if (typeof value !== 'object' || value === null) return value;
    const known = this.#opened.get(value);
    if (known !== undefined) return known;
    const opened = isJsonObject(value) ? this.#openObject(value) : this.#openArray(value);
    this.#opened.set(value, opened);
    return opened;
  }

  #openObject(object: JsonObject): JsonObject {
    const entries = Object.entries(object);
    const opened = entries.map(([key, value]): [string, Json] => [key, this.#open(value)]);
    // What holds no words stays the same object.
    return opened.some(([, value], index) => value !== entries[index]?.[1]) ? Object.fromEntries(opened) : object;
  }

  #openArray(array: readonly Json[]): readonly Json[] {
    const opened = array.map((item) => this.#open(item));
    return opened.some((item, index) => item !== array[index]) ? opened : array;
  }

  #openWords(text: string): Json {
    const remembered = this.#remembered.get(text);
    if (remembered !== undefined) return remembered;
    const sealed = readSealed(text);
    if (sealed === null) return text;
    const key = this.#keys.find(sealed.subject, sealed.key);
    if (key === undefined) return ERASED;
    const value = key === null ? undefined : openValue(text, key, this.#stream());
    if (value === undefined) return LOCKED;
    this.#remember(text, value);
    return value;
  }

  #remember(text: string, value: Json): void {
    if (this.#rememberedChars + text.length > REMEMBERED_CHARS) {
      this.#remembered.clear();
      this.#rememberedChars = 0;
    }
    this.#remembered.set(text, value);
    this.#rememberedChars += text.length;
  }
}

function erased(subject: string): Refusal {
  const detail = `The words of ${subject} were erased here, and no new ones of theirs are taken.`;
  return { refused: 'subject-erased', detail };
}
