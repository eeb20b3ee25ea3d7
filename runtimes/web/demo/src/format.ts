/** Numbers as a person reads them. */

const MEGABYTE = 1e6;

export function megabytes(bytes: number): string {
  return (bytes / MEGABYTE).toFixed(bytes < 100 * MEGABYTE ? 1 : 0);
}

export function milliseconds(value: number): string {
  return value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(value < 10_000 ? 2 : 1)} s`;
}

/** Return a part of 1 in percent, with a digit after the point where it is small. */
export function percent(part: number): string {
  const value = part * 100;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} %`;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
