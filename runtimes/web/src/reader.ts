/** Reading a stranger's JSON: each value is checked for its type, and an error says where it stands. */

import { SamError, type SamErrorCode } from './errors.js';

/** One value of a document, and the way to it: `preprocessing.image_hw[0]`. */
export class Reader {
  constructor(
    private readonly value: unknown,
    private readonly document: string,
    private readonly code: SamErrorCode,
    private readonly way: string = '',
  ) {}

  /** The value of a key, `null` where there is none. Inherited names are no keys. */
  field(name: string): Reader {
    const owner = this.object();
    return this.below(Object.hasOwn(owner, name) ? owner[name] : null, this.way ? `${this.way}.${name}` : name);
  }

  get isNull(): boolean {
    return this.value === null || this.value === undefined;
  }

  get isText(): boolean {
    return typeof this.value === 'string';
  }

  string(): string {
    return typeof this.value === 'string' ? this.value : this.refuse('a text');
  }

  boolean(): boolean {
    return typeof this.value === 'boolean' ? this.value : this.refuse('true or false');
  }

  number(): number {
    return typeof this.value === 'number' && Number.isFinite(this.value) ? this.value : this.refuse('a number');
  }

  integer(least: number, most: number): number {
    const value = this.number();
    return Number.isInteger(value) && value >= least && value <= most
      ? value
      : this.refuse(`a whole number from ${least} to ${most}`);
  }

  oneOf<T extends string>(allowed: readonly T[]): T {
    return allowed.find((text) => text === this.value) ?? this.refuse(allowed.join(' or '));
  }

  list<T>(read: (item: Reader) => T): T[] {
    if (!Array.isArray(this.value)) return this.refuse('a list');
    return this.value.map((item, index) => read(this.below(item, `${this.way}[${index}]`)));
  }

  /** A list of exactly so many. */
  tuple<T>(length: number, read: (item: Reader) => T): T[] {
    const items = this.list(read);
    return items.length === length ? items : this.refuse(`a list of ${length}`);
  }

  matching(pattern: RegExp, allowed: string): string {
    const text = this.string();
    return pattern.test(text) ? text : this.refuse(allowed);
  }

  /** Refuse keys that this version does not know, where ignoring one would change a mask unseen. */
  only(known: readonly string[]): this {
    const unknown = Object.keys(this.object()).find((key) => !known.includes(key));
    return unknown === undefined ? this : this.field(unknown).refuse(`no field that this version does not know`);
  }

  refuse(allowed: string): never {
    const given = JSON.stringify(this.value)?.slice(0, 80) ?? 'nothing';
    throw new SamError(this.code, `${this.document}: ${this.way || 'the document'} is ${given}, allowed: ${allowed}`);
  }

  private object(): Record<string, unknown> {
    if (typeof this.value !== 'object' || this.value === null || Array.isArray(this.value)) {
      return this.refuse('an object');
    }
    return this.value as Record<string, unknown>;
  }

  private below(value: unknown, way: string): Reader {
    return new Reader(value, this.document, this.code, way);
  }
}
