/** Undo and redo over values that are never changed. */

const MOST_STEPS = 200;

export class History<T> {
  private constructor(
    private readonly past: readonly T[],
    readonly present: T,
    private readonly future: readonly T[],
  ) {}

  static of<T>(present: T): History<T> {
    return new History([], present, []);
  }

  get canUndo(): boolean {
    return this.past.length > 0;
  }

  get canRedo(): boolean {
    return this.future.length > 0;
  }

  /** Return the history with a new step; what was undone before it is gone. */
  push(next: T): History<T> {
    return new History([...this.past, this.present].slice(-MOST_STEPS), next, []);
  }

  /** Return the history with another present and no step, for what nobody wants to undo, such as a selection. */
  amend(present: T): History<T> {
    return new History(this.past, present, this.future);
  }

  undo(): History<T> {
    if (!this.canUndo) return this;
    return new History(this.past.slice(0, -1), this.past.at(-1)!, [this.present, ...this.future]);
  }

  redo(): History<T> {
    if (!this.canRedo) return this;
    return new History([...this.past, this.present], this.future[0]!, this.future.slice(1));
  }
}
