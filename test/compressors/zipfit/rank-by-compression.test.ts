import * as zlib from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AVAILABLE_CODECS, CODEC_NAMES, type CodecName } from '../../../compressors/zipfit/codecs.js';
import {
  DEFAULT_CODEC,
  rankByCompression,
  type RankOptions,
} from '../../../compressors/zipfit/rank-by-compression.js';
import { ConfigurationError } from '../../../settings/configuration-error.js';

const query = 'When was the Rowan built?';
const candidates = [
  'The harbour was dug in 1850. It silts up every winter.',
  'The Rowan was built in 1987 at Troon, and rebuilt in 2011.',
  'Bicycles travel free of charge on weekdays.',
  'Die Fähre „Rowan“ wurde 1987 gebaut.',
  '',
  '渡轮每天早上八点开航。',
];

function scoresOf(targets: readonly string[], given: readonly string[], options?: RankOptions): number[] {
  const scores: number[] = [];
  for (const { index, score } of rankByCompression(targets, given, options)) scores[index] = score;
  return scores;
}

const order = (targets: readonly string[], given: readonly string[], options?: RankOptions) =>
  rankByCompression(targets, given, options).map(({ index }) => index);

describe('exact mode is the authors’ arithmetic', () => {
  type Zstd = (bytes: Uint8Array, options: object) => Buffer;
  const { zstdCompressSync } = zlib as { zstdCompressSync?: Zstd };
  const brotli = (bytes: Uint8Array) =>
    zlib.brotliCompressSync(bytes, {
      params: {
        [zlib.constants.BROTLI_PARAM_QUALITY]: 5,
        [zlib.constants.BROTLI_PARAM_LGWIN]: 16,
        [zlib.constants.BROTLI_PARAM_MODE]: zlib.constants.BROTLI_MODE_TEXT,
      },
    });
  const compress: Record<CodecName, ((bytes: Uint8Array) => Buffer) | undefined> = {
    gzip: (bytes) => zlib.gzipSync(bytes, { level: 9 }),
    'deflate-raw': (bytes) => zlib.deflateRawSync(bytes, { level: 9 }),
    brotli,
    zstd:
      zstdCompressSync &&
      ((bytes) =>
        zstdCompressSync(bytes, {
          params: { [(zlib.constants as Record<string, number>).ZSTD_c_compressionLevel!]: 19 },
        })),
  };

  /** 1 − NCD(x, y) from C(x), C(y) and C(xy), the candidate first. */
  function naive(codec: CodecName, target: string, candidate: string): number {
    const length = (text: string) => compress[codec]!(Buffer.from(text)).length;
    const [x, y, xy] = [length(candidate), length(target), length(candidate + target)];
    return 1 - (xy - Math.min(x, y)) / Math.max(x, y);
  }

  for (const codec of CODEC_NAMES) {
    test.skipIf(compress[codec] === undefined)(`with ${codec}`, () => {
      const targets = [query, 'Rowan, built at Troon', ''];
      const expected = candidates.map(
        (candidate) => targets.reduce((sum, target) => sum + naive(codec, target, candidate), 0) / 3,
      );
      const scores = scoresOf(targets, candidates, { mode: 'exact', codec });
      for (const [index, score] of scores.entries()) expect(score).toBeCloseTo(expected[index]!, 12);
      expect(scoresOf([query], [candidates[1]!], { mode: 'exact', codec })[0]).toBe(
        naive(codec, query, candidates[1]!),
      );
    });

    test.skipIf(compress[codec] === undefined)(`with ${codec} on what is longer than its window here`, () => {
      const noise = Array.from({ length: 9_000 }, (_, index) => Math.imul(index, 0x9e3779b1) >>> 0).join(' ');
      const [near] = scoresOf([noise], [noise], { mode: 'exact', codec });
      // DEFLATE does not see back to where the first copy begins; the others do.
      if (codec === 'gzip' || codec === 'deflate-raw') expect(near).toBeLessThan(0.2);
      else expect(near).toBeGreaterThan(0.9);
    });
  }

  test.skipIf(compress.zstd !== undefined)('a codec that this Node has not is refused', () => {
    const rank = () => rankByCompression([query], candidates, { mode: 'exact', codec: 'zstd' });
    expect(rank).toThrow(
      expect.objectContaining({ name: 'ConfigurationError', field: 'codec', value: 'zstd' }),
    );
    expect(rank).toThrow(/this Node does not have it; give one of gzip, deflate-raw, brotli$/);
  });

  test('the codecs that this Node has are those that are offered', () => {
    expect(AVAILABLE_CODECS).toEqual(CODEC_NAMES.filter((name) => compress[name] !== undefined));
    expect(scoresOf([query], candidates, { mode: 'exact' })).toEqual(
      scoresOf([query], candidates, { mode: 'exact', codec: DEFAULT_CODEC }),
    );
  });

  test('a function is a codec, and is given UTF-8', () => {
    const seen: string[] = [];
    const codec = (bytes: Uint8Array) => {
      seen.push(Buffer.from(bytes).toString());
      return new Set(bytes).size + 1;
    };
    // Distinct bytes: C(ab) = 3, C(bcd) = 4, C(abbcd) = 5.
    expect(scoresOf(['bcd'], ['ab'], { mode: 'exact', codec })).toEqual([1 - (5 - 3) / 4]);
    expect(seen).toEqual(['bcd', 'ab', 'abbcd']);
    seen.length = 0;
    rankByCompression(['渡'], ['é'], { mode: 'exact', codec });
    expect(seen).toEqual(['渡', 'é', 'é渡']);
  });

  test('of several targets the score is the mean', () => {
    const targets = [query, 'Winter in the harbour', '渡轮'];
    const single = targets.map((target) => scoresOf([target], candidates, { mode: 'exact' }));
    for (const [index, score] of scoresOf(targets, candidates, { mode: 'exact' }).entries())
      expect(score).toBeCloseTo(single.reduce((sum, scores) => sum + scores[index]!, 0) / 3, 12);
  });

  test.each([0, NaN, Infinity, undefined])('a codec that gives %s is told so', (length) => {
    const codec = () => length!;
    expect(() => rankByCompression(['ferry'], ['the ferry'], { mode: 'exact', codec })).toThrow(
      `the codec gave ${String(length)} as the length of 5 bytes`,
    );
  });
});

describe('a ranking', () => {
  test.each(['fast', 'exact'] as const)('(%s) is sorted, whole, and cut where asked', (mode) => {
    const ranking = rankByCompression([query], candidates, { mode });
    expect(ranking.map(({ index }) => index).sort()).toEqual([0, 1, 2, 3, 4, 5]);
    for (const [place, { score }] of ranking.entries())
      expect(score).toBeLessThanOrEqual(ranking[place - 1]?.score ?? Infinity);
    for (const limit of [1, 2, 6, 50])
      expect(rankByCompression([query], candidates, { mode, limit })).toEqual(ranking.slice(0, limit));
  });

  test.each(['fast', 'exact'] as const)('(%s) has ties in order', (mode) => {
    const [answer, other] = [candidates[1]!, candidates[2]!];
    const ranked = order([query], [other, answer, other, answer, answer, other], { mode });
    expect(ranked).toEqual([1, 3, 4, 0, 2, 5]);
  });

  test.each(['fast', 'exact'] as const)('(%s) of no candidates is empty', (mode) => {
    expect(rankByCompression([query], [], { mode })).toEqual([]);
  });

  test.each<[string, readonly string[], unknown, string, unknown]>([
    ['no target', [], {}, 'targets', []],
    ['an unknown codec', [query], { mode: 'exact', codec: 'lzma' }, 'codec', 'lzma'],
    ['a codec in the fast mode', [query], { codec: 'gzip' }, 'codec', 'gzip'],
    ['an unknown mode', [query], { mode: 'slow' }, 'mode', 'slow'],
    ['a limit of 0', [query], { limit: 0 }, 'limit', 0],
    ['half a candidate', [query], { limit: 1.5 }, 'limit', 1.5],
    ['an unknown option', [query], { top: 3 }, 'top', 3],
  ])('%s is refused', (_, targets, options, field, value) => {
    const rank = () => rankByCompression(targets, candidates, options as RankOptions);
    expect(rank).toThrow(ConfigurationError);
    expect(rank).toThrow(expect.objectContaining({ field, value }));
    expect(rank).toThrow(new RegExp(`^${field}: `));
  });

  test('the refusal of a codec says which there are', () => {
    expect(() => rankByCompression([query], [], { mode: 'exact', codec: 'lzma' as 'gzip' })).toThrow(
      /gzip, deflate-raw, brotli, zstd, or a function/,
    );
  });
});

describe('fast mode', () => {
  test.each([
    ['a question', query, [candidates[0]!, candidates[1]!, candidates[2]!], 1],
    ['case', 'ROWAN TROON', ['The harbour is old.', 'the rowan was built at troon.'], 1],
    ['accents', 'Fahre nach Lodz', ['Der Hafen ist alt.', 'Die Fähre fährt nach Łódź? Łódz!'], 1],
    ['decomposed letters', 'café', ['the cups by the port', 'the cafe\u0301 by the port'], 1],
    ['part of a word', 'rebuilding of the ships', ['The harbour is old.', 'It was rebuilt in 2011.'], 1],
    ['numbers', 'What happened in 1987?', ['In 1978 nothing.', 'In 1987 a ship was built.'], 1],
    ['Chinese', '渡轮什么时候建造？', ['狗免费乘船。', '渡轮于1987年建造。', '港口很旧。'], 1],
    ['Japanese', 'フェリーの料金は？', ['犬は無料です。', 'フェリーの料金は四ユーロです。'], 1],
    ['Korean', '여객선 요금', ['항구는 오래되었다.', '여객선 요금은 4유로이다.'], 1],
    ['Thai', 'ค่าโดยสารเท่าไร', ['สุนัขขึ้นเรือฟรี', 'ค่าโดยสารสี่ยูโร'], 1],
    ['Arabic', 'متى بُنيت السفينة؟', ['الكلاب تسافر مجانا.', 'بنيت السفينة عام 1987.'], 1],
    ['Russian', 'Когда построен паром?', ['Собаки бесплатно.', 'Паром построен в 1987 г.'], 1],
  ])('%s', (_, asked, given, best) => {
    const [first, second] = rankByCompression([asked], given);
    expect(first!.index).toBe(best);
    expect(first!.score).toBeGreaterThan(second!.score);
  });

  test('what folds to the same has the same score', () => {
    const forms = [
      'Die FÄHRE – nach Łódź',
      'die fähre, nach łódź!',
      'Die Fa\u0308hre (nach) Ło\u0301dz\u0301',
    ];
    const scores = scoresOf(['Fähre nach Łódź'], [...forms, 'x']);
    expect(scores[0]).toBeGreaterThan(0);
    expect(new Set(scores.slice(0, 3)).size).toBe(1);
    expect(scores[3]).toBe(0);
  });

  test('a word that few candidates have counts for more', () => {
    const given = ['the ferry at noon', 'the ferry at night', 'the ferry in May', 'the funnel in May'];
    expect(order(['ferry or funnel'], given)[0]).toBe(3);
  });

  test('more of the same counts for more, and length against it', () => {
    const given = [
      'funnel of the ship',
      'funnel, funnel of the ship',
      `funnel of the ship${' and a long voyage by the sea'.repeat(9)}`,
    ];
    expect(order(['funnel'], given)).toEqual([1, 0, 2]);
  });

  test('stop words explain nothing where the query has other words', () => {
    expect(scoresOf(['When was the Rowan built?'], ['When was the?', 'was the when', 'Rowan'])).toEqual([
      0,
      0,
      expect.any(Number),
    ]);
    const [all] = scoresOf(['what is that'], ['what is that', 'funnel']);
    expect(all).toBeGreaterThan(0);
  });

  test('every example counts for as much as another, whatever its length', () => {
    const long = 'Where may bicycles, prams, wheelchairs and skateboards travel free of charge?';
    const short = 'Rowan'.padEnd(long.length, ' zyx');
    const [rowan, bicycles] = scoresOf(['Rowan', long], [short, long]);
    expect(Math.abs(rowan! / bicycles! - 1)).toBeLessThan(0.15);
    expect(scoresOf([`Rowan ${long}`], [short, long])[0]).toBeLessThan(rowan! / 2);
  });

  const letters = (alphabet: string, maxLength = 12) =>
    fc.string({ unit: fc.constantFrom(...Array.from(alphabet)), minLength: 1, maxLength });
  const text = fc.oneof(
    fc.array(letters('abcdeé1'), { maxLength: 12 }).map((parts) => parts.join(' ')),
    fc.string({ unit: 'binary', maxLength: 60 }),
    letters('渡轮每天早上八点开航', 30),
    fc.string({ unit: fc.constantFrom('\ud83d', '\ude00', ' ', 'a'), maxLength: 30 }),
  );

  /** The score by its definition, for plain words: what share of the query's letters a candidate has in runs of 7. */
  function naiveScores(asked: readonly string[], given: readonly (readonly string[])[]): number[] {
    const padded = (words: readonly string[]) => `   ${words.map((word) => `${word}   `).join('')}`;
    const total = asked.reduce((sum, word) => sum + Math.sqrt(word.length), 0);
    const sizes = given.map((words) => padded(words).length);
    const average = sizes.reduce((sum, size) => sum + size, 0) / sizes.length;
    const times = (run: string, text: string) =>
      Array.from(text, (_, at) => text.startsWith(run, at)).filter(Boolean).length;
    const scores = given.map(() => 0);
    for (const word of asked) {
      const symbols = padded([word]);
      // By candidate and letter: how often the run that it has most often of those that the letter is in.
      const covered = given.map((words) => {
        const most = new Array<number>(symbols.length).fill(0);
        for (let start = 0; start + 7 <= symbols.length; start++) {
          const count = times(symbols.slice(start, start + 7), padded(words));
          for (let at = start; at < start + 7; at++) most[at] = Math.max(most[at]!, count);
        }
        return most.slice(3, -3);
      });
      for (let letter = 0; letter < word.length; letter++) {
        const having = covered.filter((most) => most[letter]! > 0).length;
        const idf = Math.log2(1 + (given.length - having + 0.5) / (having + 0.5));
        for (const [index, most] of covered.entries()) {
          const tf = most[letter]!;
          const norm = 1.2 * (0.25 + (0.75 * sizes[index]!) / average);
          scores[index]! += (idf * tf * 2.2) / (tf + norm) / (Math.sqrt(word.length) * total);
        }
      }
    }
    return scores;
  }

  test('scores are those of their definition', () => {
    const words = (maxLength: number) => fc.array(letters('xzq', 10), { minLength: 1, maxLength });
    fc.assert(
      fc.property(
        fc.uniqueArray(letters('xzq', 10), { minLength: 1, maxLength: 4 }),
        fc.array(words(12), { minLength: 1, maxLength: 5 }),
        (asked, given) => {
          // Candidates that repeat and vary the query's words, too.
          const candidates = [...given, [...asked, ...asked], asked.map((word) => `${word}x${word}`)];
          const scores = scoresOf(
            [asked.join(' ')],
            candidates.map((words) => words.join(', ')),
          );
          const expected = naiveScores(asked, candidates);
          for (const [index, score] of scores.entries()) expect(score).toBeCloseTo(expected[index]!, 10);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('is deterministic, never negative, and a number', () => {
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 3 }), fc.array(text), (targets, given) => {
        const scores = scoresOf(targets, given);
        expect(scoresOf(targets, given)).toEqual(scores);
        for (const score of scores) expect(score).toBeGreaterThanOrEqual(0);
      }),
      { numRuns: 300 },
    );
  });

  test('a score depends on which candidates there are, not on their order', () => {
    const shuffled = fc
      .array(text, { minLength: 2, maxLength: 12 })
      .chain((given) =>
        fc.tuple(fc.constant(given), fc.shuffledSubarray([...given.keys()], { minLength: given.length })),
      );
    fc.assert(
      fc.property(text, shuffled, (target, [given, places]) => {
        const scores = scoresOf([target], given);
        const again = scoresOf(
          [target],
          places.map((place) => given[place]!),
        );
        expect(again).toEqual(places.map((place) => scores[place]!));
      }),
      { numRuns: 300 },
    );
  });

  test('a candidate with a word of the query is above all that share nothing with it', () => {
    const asked = fc.array(letters('abcdef'), { minLength: 1, maxLength: 5 });
    const others = fc.array(letters('uvwxyz'), { maxLength: 20 }).map((parts) => parts.join(' '));
    fc.assert(
      fc.property(asked, fc.array(others, { minLength: 1, maxLength: 8 }), others, (asked, given, around) => {
        // Letters such as c or d alone are stop words, which tell nothing beside others.
        const word = [...asked].sort((a, b) => b.length - a.length)[0]!;
        fc.pre(word.length > 2 && word !== 'face');
        const scores = scoresOf([asked.join(' ')], [...given, `${around} ${word} ${around}`]);
        expect(scores.at(-1)).toBeGreaterThan(0);
        expect(scores.slice(0, -1)).toEqual(given.map(() => 0));
      }),
      { numRuns: 300 },
    );
  });

  test.each([
    ['an empty query', '', candidates],
    ['a query of marks', '?! …', candidates],
    ['half a pair', '\ud83d', ['x', 'y \ude00', '']],
    ['empty candidates', query, ['', ' ', '.']],
  ])('%s: all score 0, in order', (_, target, given) => {
    expect(rankByCompression([target], given)).toEqual(given.map((_, index) => ({ index, score: 0 })));
  });

  test('an empty example takes its share of the score, and no more', () => {
    const scores = scoresOf([query], candidates);
    for (const [index, score] of scoresOf([query, ''], candidates).entries())
      expect(score).toBeCloseTo(scores[index]! / 2, 12);
  });

  test('lone surrogates are letters', () => {
    const given = ['a \ud83dx\ude00y code', 'a code'];
    expect(scoresOf(['\ud83dx\ude00y'], given)[0]).toBeGreaterThan(0);
    expect(order(['\ud83dx\ude00y'], given.toReversed())).toEqual([1, 0]);
  });

  test('1,000 candidates', () => {
    const many = Array.from(
      { length: 1_000 },
      (_, index) => `Entry ${index}: the ship left berth ${index % 7} on time.`,
    );
    many.splice(623, 1, candidates[1]!);
    const [first, second] = rankByCompression([query], many);
    expect(first!.index).toBe(623);
    expect(first!.score).toBeGreaterThan(second!.score);
  });

  test('in a long candidate a word is found wherever it stands, as often as it is there', () => {
    // Candidates are read in windows of 4,096 code units.
    const length = 9_000;
    const filler = 'zx yv '.repeat(length / 6);
    const at = (start: number) => `${filler.slice(0, start)} rebuilding ${filler.slice(start + 12)}`;
    const starts = [
      0,
      600,
      ...Array.from({ length: 24 }, (_, index) => 4_080 + 6 * ((index / 6) | 0) + index),
      8_900,
    ];
    const given = [...starts.map(at), filler, filler.replace(/^.{24}/, ' rebuilding rebuilding ')];
    const scores = scoresOf(['rebuilding'], given);
    expect(scores.at(-2)).toBe(0);
    expect(scores.at(-1)).toBeGreaterThan(scores[0]!);
    for (const score of scores.slice(0, starts.length)) expect(score / scores[0]!).toBeCloseTo(1, 2);
  });

  // Quadratic time would take hours here.
  test.each([
    ['one letter', 'a'.repeat(1 << 20)],
    ['one word', 'rowan '.repeat(1 << 18)],
    ['Han', '渡'.repeat(1 << 19)],
    ['marks', '\u0301'.repeat(1 << 20)],
  ])('1 MB of %s, in the query and in a candidate', (_, long) => {
    const scores = scoresOf([long], [long, 'a', 'funnel']);
    expect(scores[0]).toBeGreaterThanOrEqual(scores[2]!);
    expect(scores[2]).toBe(0);
    expect(scoresOf(['rowan built'], [long, 'The Rowan was built'])[1]).toBeGreaterThan(0);
  });
});
