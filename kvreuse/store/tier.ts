/** Where a record lies, fastest first. */
export const TIERS = ['memory', 'disk', 'redis'] as const;

export type Tier = (typeof TIERS)[number];

/** A record that was found. Close it: until then its bytes are held. */
export interface RecordHandle {
  /** Size of the record, in bytes. */
  readonly bytes: number;
  readonly tier: Tier;
  /**
   * Bytes `start` to `end`, exclusive. Those of the memory tier are a view, not to be changed, and valid until `close`.
   * @param isTimed whether the tier's speed is measured by it. Default true
   * @returns undefined where the record cannot be read any more, or has no such bytes: compute it instead
   */
  read(start: number, end: number, isTimed?: boolean): Promise<Uint8Array | undefined>;
  /** May be called again. */
  close(): Promise<void>;
}

/** A handle that tells what is stored with the record. */
export interface StoredHandle extends RecordHandle {
  readonly savedMs: number;
  /** Milliseconds since 1970; Infinity: never. */
  readonly expires: number;
}

export function isRangeOf(bytes: number, start: number, end: number): boolean {
  return (
    Number.isSafeInteger(start) && Number.isSafeInteger(end) && 0 <= start && start <= end && end <= bytes
  );
}
