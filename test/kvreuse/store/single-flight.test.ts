import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { SingleFlight } from '../../../kvreuse/store/single-flight.js';

test('fifty at once: one makes, all have it', async () => {
  const flights = new SingleFlight();
  const make = vi.fn(async () => {
    await sleep(20);
    return { made: true };
  });
  const all = await Promise.all(Array.from({ length: 50 }, () => flights.once('key', make)));
  expect(make).toHaveBeenCalledTimes(1);
  expect(new Set(all).size).toBe(1);
  await flights.once('key', make);
  expect(make).toHaveBeenCalledTimes(2);
});

test('keys do not wait for each other', async () => {
  const flights = new SingleFlight();
  const never = new AbortController();
  const first = flights.once('a', () => new Promise(() => undefined), never.signal);
  await expect(flights.once('b', () => Promise.resolve(1))).resolves.toBe(1);
  never.abort(new Error('enough'));
  await expect(first).rejects.toThrow('enough');
});

test('where one fails another tries, and each has its own error', async () => {
  const flights = new SingleFlight();
  const failing = flights.once('key', async () => {
    await sleep(10);
    throw new Error('mine');
  });
  const others = Array.from({ length: 5 }, (_, index) =>
    flights.once('key', async () => {
      await sleep(1);
      return index;
    }),
  );
  await expect(failing).rejects.toThrow('mine');
  expect(new Set(await Promise.all(others)).size).toBe(1);

  const all = await Promise.allSettled(
    Array.from({ length: 5 }, (_, index) =>
      flights.once('key', () => Promise.reject(new Error(String(index)))),
    ),
  );
  expect(all.map((each) => (each.status === 'rejected' ? (each.reason as Error).message : ''))).toEqual([
    '0',
    '1',
    '2',
    '3',
    '4',
  ]);
});

test('an abort of one, even of who began it, leaves it running for the others', async () => {
  const flights = new SingleFlight();
  const [first, second] = [new AbortController(), new AbortController()];
  let given: AbortSignal | undefined;
  const make = vi.fn(async (signal: AbortSignal) => {
    given = signal;
    await sleep(30);
    signal.throwIfAborted();
    return 'made';
  });
  const aborted = flights.once('key', make, first.signal);
  const alsoAborted = flights.once('key', make, second.signal);
  const waiting = flights.once('key', make);
  first.abort(new Error('gone'));
  second.abort(new Error('gone too'));
  await expect(aborted).rejects.toThrow('gone');
  await expect(alsoAborted).rejects.toThrow('gone too');
  expect(given?.aborted).toBe(false);
  await expect(waiting).resolves.toBe('made');
  expect(make).toHaveBeenCalledTimes(1);
  expect(given?.aborted).toBe(false);
});

test('the maker is told once nobody waits, and the next call makes anew', async () => {
  const flights = new SingleFlight();
  const [first, second] = [new AbortController(), new AbortController()];
  const stopped = vi.fn();
  const make = (signal: AbortSignal) =>
    new Promise<string>((_, reject) => {
      signal.addEventListener('abort', () => {
        stopped();
        reject(signal.reason as Error);
      });
    });
  const calls = [flights.once('key', make, first.signal), flights.once('key', make, second.signal)];
  const settled = Promise.allSettled(calls);
  await sleep(5);
  first.abort();
  await sleep(5);
  expect(stopped).not.toHaveBeenCalled();
  second.abort();
  const next = flights.once('key', () => Promise.resolve('anew'));
  await settled;
  expect(stopped).toHaveBeenCalledTimes(1);
  await expect(next).resolves.toBe('anew');
});

test('a signal that is aborted already makes nothing', async () => {
  const make = vi.fn(() => Promise.resolve(1));
  await expect(new SingleFlight().once('key', make, AbortSignal.abort(new Error('late')))).rejects.toThrow(
    'late',
  );
  expect(make).not.toHaveBeenCalled();
});
