import type { Binder } from './search-tiers.ts';

/** Bound values of a statement; `add` and `integer` give what to write in it. */
export class Values implements Binder {
  readonly list: (string | number)[] = [];

  add(value: string | number): string {
    this.list.push(value);
    return `?${this.list.length}`;
  }

  /** D1 binds every number as a double, and FTS5 bounds its scan only by integers. */
  integer(value: number): string {
    return `CAST(${this.add(value)} AS INTEGER)`;
  }
}
