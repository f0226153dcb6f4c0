/** Credentials that have ended: whatever was opened by one of them ends too. */
export interface EndedAccess {
  /** Actors none of whose credentials is good any more; nor is any that they handed on. */
  readonly actors?: readonly string[];
  /** Ids of keys and sessions. */
  readonly credentials?: readonly string[];
  /** Ids of delegations; those that were made from them end as well. */
  readonly delegations?: readonly string[];
}
