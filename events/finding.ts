/** What can be wrong with a history and its proof. */
export type FindingCode =
  /** The bundle is none, or its first line cannot be read. */
  | 'bundle-malformed'
  /** The checkpoint cannot be read, or a signature of it by a trusted key is not right. */
  | 'checkpoint-invalid'
  /** The checkpoint is signed, by a key that is not trusted. */
  | 'key-not-trusted'
  /** Fewer trusted witnesses have signed the checkpoint than are wanted. */
  | 'witnesses-missing'
  /** A head of the stream is not in the log where the bundle says. */
  | 'head-not-in-log'
  /** The text is no sealed event, or not canonical. */
  | 'event-malformed'
  /** The content and the leaf hash of an event do not fit. */
  | 'event-altered'
  | 'event-of-other-stream'
  | 'event-missing'
  /** An event stands where a later one was, and its own place is empty. */
  | 'event-out-of-order'
  /** A version is there twice. */
  | 'event-repeated'
  | 'event-time'
  | 'event-id'
  /** An event beyond those that the log vouches for. */
  | 'event-unlogged'
  /** Events fit by themselves, and are not those that the log holds. */
  | 'root-mismatch'
  /** Fewer events than there were earlier. */
  | 'history-truncated'
  /** Other events than there were earlier. */
  | 'history-rewritten'
  /** The log has fewer entries than it had: a checkpoint was rolled back. */
  | 'log-truncated'
  /** The log has signed two trees of one size, or holds two heads of one stream at one size. */
  | 'log-split'
  /** The log does not begin with what it was. */
  | 'log-rewritten'
  /** It is another log than the one that was verified earlier. */
  | 'log-other'
  /** Nothing was found, and what would have shown it could not be looked at. */
  | 'log-not-compared'
  /** A tile of the log is missing, or cannot be read. */
  | 'tile-missing'
  /** A tile of hashes is not what the entries under it give. */
  | 'tile-altered'
  /** Entries of the log are not what its checkpoint was made over. */
  | 'entry-altered'
  /** The history of a stream that the log names is not given. */
  | 'stream-not-given'
  /** The server itself says that it cannot read events, because they are missing or altered where it keeps them. */
  | 'history-damaged'
  /** The state that is served is not the one that the events lead to. */
  | 'state-differs'
  /** The bytes cannot be read: they are compressed and damaged, or too many. */
  | 'input-damaged';

/** One thing that is wrong. */
export interface Finding {
  readonly code: FindingCode;
  /** The stream it is in; null when it is in none. */
  readonly stream: string | null;
  /** The version of the event; the first one when it may be one of several; null when it is no event. */
  readonly version: number | null;
  /** The last version that it may be, when it may be one of several. */
  readonly through: number | null;
  /** In plain words: where and why. */
  readonly message: string;
}

/** Findings that are kept; more are counted. */
const FINDINGS_MAX = 100;

/** Collects findings in bounded memory. */
export class Findings {
  readonly list: Finding[] = [];
  /** How many there were beyond those in the list. */
  more = 0;

  add(finding: Finding): void {
    if (this.list.length < FINDINGS_MAX) this.list.push(finding);
    else this.more++;
  }
}
