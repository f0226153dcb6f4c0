/** Who makes a request, however they proved it. Every kind of credential ends in one of these. */
export interface Principal {
  /** The actor's id. */
  readonly actor: string;
  /** How it was proved. */
  readonly credential: 'bootstrap-key' | 'ticket';
}
