/** What became of one thing that `mayfly backend apply` sees to. */
export type Provisioned = {
  /** The place: `ledger`, `openbao`, or `target <name>`. */
  readonly where: string;
  readonly what: string;
  readonly state: 'created' | 'changed' | 'unchanged';
};
