import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ConfigurationError } from '../../settings/configuration-error.js';
import type { SourceDocument } from '../../compressors/contract.js';
import { Bm25Retriever, type Bm25Options } from '../../retrievers/bm25.js';

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ragpress-bm25-'));
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

const documents: SourceDocument[] = [
  { id: 'rowan', content: 'The Rowan was built in 1987 at Troon. She carries 60 cars.', format: 'text' },
  { id: 'fares', content: 'A day return costs 7.50. Bicycles travel free.', format: 'text' },
  { id: 'harbour', content: 'The harbour was dug in 1850. It silts up every winter.', format: 'text' },
];

async function retrieverOf(given: Iterable<SourceDocument>, options?: Bm25Options): Promise<Bm25Retriever> {
  const retriever = new Bm25Retriever(options);
  await retriever.add(given);
  return retriever;
}

async function ranking(retriever: Bm25Retriever, query: string, limit = 1_000): Promise<[string, number][]> {
  return (await retriever.retrieve(query, { limit })).map(({ id, score }) => [id, score!]);
}

async function idsFor(given: Iterable<SourceDocument>, query: string, options?: Bm25Options) {
  return (await ranking(await retrieverOf(given, options), query)).map(([id]) => id);
}

// None is a stop word, and none ends in s, so that splitting at spaces gives the index terms.
const WORDS = ['ferry', 'port', 'fare', 'rowan', 'winter', '1987', 'troon', 'car'];
const words = (maxLength: number) =>
  fc.array(fc.constantFrom(...WORDS), { maxLength }).map((parts) => parts.join(' '));
const anyDocument = fc.record({
  id: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'),
  title: words(4),
  content: words(12),
  url: words(3),
  metadata: fc.record({ tags: words(3) }),
  format: fc.constant('text' as const),
});
const anyDocuments = fc.uniqueArray(anyDocument, { maxLength: 8, selector: ({ id }) => id });

/** BM25F from its definition (Robertson and Zaragoza 2009, section 3.6). */
function naiveScores(
  corpus: readonly SourceDocument[],
  query: string,
  { fields, k1, b }: Required<Bm25Options>,
): Map<string, number> {
  const split = (text: unknown) => (typeof text === 'string' ? text.split(' ').filter(Boolean) : []);
  const field = (document: SourceDocument, name: string) =>
    split(name in document ? document[name as 'title'] : document.metadata?.[name]);
  const frequency = (document: SourceDocument, term: string) =>
    Object.entries(fields).reduce((sum, [name, weight]) => {
      const average = corpus.reduce((total, other) => total + field(other, name).length, 0) / corpus.length;
      const times = field(document, name).filter((word) => word === term).length;
      return times === 0
        ? sum
        : sum + (weight * times) / (1 - b + (b * field(document, name).length) / average);
    }, 0);
  const scores = new Map<string, number>();
  for (const term of new Set(split(query))) {
    const having = corpus.filter((document) => frequency(document, term) > 0);
    const idf = Math.log(1 + (corpus.length - having.length + 0.5) / (having.length + 0.5));
    for (const document of having) {
      const tf = frequency(document, term);
      scores.set(document.id, (scores.get(document.id) ?? 0) + (idf * tf * (k1 + 1)) / (k1 + tf));
    }
  }
  return scores;
}

describe('scores', () => {
  test('are those of BM25F by its definition, best first', async () => {
    const anyOptions = fc.record({
      fields: fc.constantFrom<Record<string, number>>(
        { content: 1 },
        { title: 2, content: 1 },
        { tags: 3, url: 0.5, content: 1, title: 1.5 },
      ),
      k1: fc.constantFrom(0.5, 1.2, 2),
      b: fc.constantFrom(0, 0.4, 0.75, 1),
    });
    await fc.assert(
      fc.asyncProperty(anyDocuments, words(4), anyOptions, async (corpus, query, options) => {
        const expected = naiveScores(corpus, query, options);
        const found = await ranking(await retrieverOf(corpus, options), query);
        expect(new Set(found.map(([id]) => id))).toEqual(new Set(expected.keys()));
        for (const [index, [id, score]] of found.entries()) {
          expect(score).toBeCloseTo(expected.get(id)!, 10);
          expect(score).toBeGreaterThan(0);
          expect(score).toBeLessThanOrEqual(found[index - 1]?.[1] ?? Infinity);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('of equals are in order of arrival', async () => {
    const equal = ['c', 'a', 'b'].map((id) => ({ id, content: 'winter fare', title: '' }));
    expect(await idsFor(equal, 'fare')).toEqual(['c', 'a', 'b']);
  });

  test('a document comes back as it was given, with its score', async () => {
    const given = { ...documents[0]!, url: 'https://x.test/rowan', score: 99, metadata: { year: 1987 } };
    const [found] = await (await retrieverOf([given])).retrieve('Rowan');
    expect(found).toEqual({ ...given, score: found!.score });
    expect(found!.score).not.toBe(99);
    expect(given.score).toBe(99);
  });

  test('limit is the beginning of the whole ranking', async () => {
    const corpus = WORDS.map((word, index) => ({
      id: word,
      content: `${'ferry '.repeat(index)}port`,
      format: 'text' as const,
    }));
    const retriever = await retrieverOf(corpus);
    const all = await ranking(retriever, 'ferry port');
    expect(all).toHaveLength(WORDS.length);
    for (const limit of [1, 3, 8, 50])
      expect(await ranking(retriever, 'ferry port', limit)).toEqual(all.slice(0, limit));
    expect(await retriever.retrieve('ferry port')).toHaveLength(WORDS.length);
  });
});

describe('fields', () => {
  const page = (title: string, text: string) =>
    `<html><head><title>${title}</title></head><body class="fare"><p>${text}</p></body></html>`;

  test('a title weighs more than the text, unless told otherwise', async () => {
    const corpus = [
      { id: 'text', title: 'Crew list', content: 'Winter timetable' },
      { id: 'title', title: 'Winter timetable', content: 'Crew list' },
    ];
    expect(await idsFor(corpus, 'timetable')).toEqual(['title', 'text']);
    expect(await idsFor(corpus, 'timetable', { fields: { title: 1, content: 5 } })).toEqual([
      'text',
      'title',
    ]);
    expect(await idsFor(corpus, 'timetable', { fields: { title: 1 } })).toEqual(['title']);
  });

  test('a page without a title given has its own, and its markup is no text', async () => {
    const corpus = [{ id: 'page', content: page('Winter timetable', 'Ships sail at noon.') }];
    expect(await idsFor(corpus, 'timetable', { fields: { title: 1 } })).toEqual(['page']);
    expect(await idsFor(corpus, 'noon', { fields: { content: 1 } })).toEqual(['page']);
    expect(await idsFor(corpus, 'fare class body')).toEqual([]);
    const titled = [{ ...corpus[0]!, title: 'Summer' }];
    expect(await idsFor(titled, 'timetable', { fields: { title: 1 } })).toEqual([]);
  });

  test('url and metadata are searched where asked for', async () => {
    const corpus = [
      {
        id: 'a',
        content: 'x',
        url: 'https://x.test/winter-fares',
        metadata: { author: 'Oduya', year: 1987 },
      },
    ];
    expect(await idsFor(corpus, 'winter Oduya')).toEqual([]);
    expect(await idsFor(corpus, 'winter', { fields: { url: 1 } })).toEqual(['a']);
    expect(await idsFor(corpus, 'oduya', { fields: { author: 1 } })).toEqual(['a']);
    // What is no text is not searched, and does no harm.
    expect(await idsFor(corpus, '1987', { fields: { year: 1, nothing: 1 } })).toEqual([]);
  });
});

describe('words', () => {
  test.each([
    ['case and plurals', 'BICYCLE', 'fares'],
    ['numbers', '7.50', 'fares'],
    ['a question', 'When was the Rowan built?', 'rowan'],
  ])('%s', async (_, query, id) => {
    expect((await idsFor(documents, query))[0]).toBe(id);
  });

  test.each([
    ['accents', 'Der Fährhafen von Łódź', 'FAHRHAFEN lodz'],
    ['Chinese', '渡轮于1987年建造，可载六十辆车。', '渡轮的建造'],
    ['Japanese', 'フェリーの料金は四ユーロです。', 'フェリー料金'],
    ['Korean', '여객선은 매일 운항합니다.', '여객선'],
    ['Thai', 'เรือข้ามฟากออกทุกวัน', 'เรือข้ามฟาก'],
    ['Arabic', 'بُنيت السفينة عام 1987', 'السفينه'],
  ])('%s', async (_, content, query) => {
    const corpus: SourceDocument[] = [...documents, { id: 'other', content, format: 'text' }];
    expect(await idsFor(corpus, query)).toEqual(['other']);
  });

  test('a query of nothing, of marks or of words that are nowhere finds nothing', async () => {
    const retriever = await retrieverOf(documents);
    for (const query of ['', '  ', '?!', 'zeppelin', '\ud83d'])
      expect(await retriever.retrieve(query)).toEqual([]);
  });
});

describe('an index that changes', () => {
  test('answers as one built afresh, whatever was added, replaced and removed on the way', async () => {
    // Numbers from few, so that many steps replace or remove, and enough of them to close the gaps.
    const steps = fc.array(fc.tuple(fc.constantFrom('add', 'add', 'remove'), fc.nat(30), words(8)), {
      minLength: 1,
      maxLength: 250,
      size: 'max',
    });
    await fc.assert(
      fc.asyncProperty(steps, async (steps) => {
        const changed = new Bm25Retriever();
        const there = new Map<string, SourceDocument>();
        for (const [step, number, content] of steps) {
          const id = String(number);
          if (step === 'add') {
            const document = { id, content, title: `entry ${id}`, format: 'text' as const };
            await changed.add([document]);
            // What is replaced arrives anew.
            there.delete(id);
            there.set(id, document);
          } else expect(changed.remove([id])).toBe(there.delete(id) ? 1 : 0);
          expect(changed.size).toBe(there.size);
        }
        const fresh = await retrieverOf(there.values());
        for (const query of ['ferry winter', 'entry 7', WORDS.join(' ')])
          expect(await changed.retrieve(query, { limit: 50 })).toEqual(
            await fresh.retrieve(query, { limit: 50 }),
          );
      }),
      { numRuns: 40 },
    );
  });

  test('remove counts what it knew, and all may go', async () => {
    const retriever = await retrieverOf(documents);
    expect(retriever.remove(['rowan', 'rowan', 'unknown'])).toBe(1);
    expect(await ranking(retriever, 'Rowan')).toEqual([]);
    expect(retriever.remove(['fares', 'harbour'])).toBe(2);
    expect(retriever.size).toBe(0);
    expect(await ranking(retriever, 'harbour')).toEqual([]);
    await retriever.add([documents[0]!]);
    expect(await ranking(retriever, 'Rowan')).toEqual(
      await ranking(await retrieverOf([documents[0]!]), 'Rowan'),
    );
  });

  test('of two with one id in one call the later is there', async () => {
    const retriever = await retrieverOf([documents[0]!, { id: 'rowan', content: 'Crew list' }]);
    expect(retriever.size).toBe(1);
    expect(await ranking(retriever, '1987')).toEqual([]);
    expect(await ranking(retriever, 'crew')).toHaveLength(1);
  });

  test('2,000 documents, the event loop free in between', async () => {
    const many = Array.from({ length: 2_000 }, (_, index): SourceDocument => ({
      id: `log-${index}`,
      content: `Entry ${index}. The ship left berth ${index % 7} on time and nothing else happened.`,
      format: 'text',
    }));
    const retriever = new Bm25Retriever();
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    await retriever.add(many);
    clearInterval(timer);
    expect(turns).toBeGreaterThan(0);
    expect(retriever.size).toBe(2_000);
    expect((await ranking(retriever, 'entry 1234', 1))[0]![0]).toBe('log-1234');
    expect(await ranking(retriever, 'berth', 3_000)).toHaveLength(2_000);
    retriever.remove(many.slice(0, 1_999).map(({ id }) => id));
    expect(await ranking(retriever, 'berth', 3_000)).toEqual(
      await ranking(await retrieverOf([many[1_999]!]), 'berth'),
    );
  });
});

describe('what cannot work is refused', () => {
  test.each<[string, unknown, string, unknown]>([
    ['no fields', { fields: {} }, 'bm25.fields', {}],
    ['a weight of 0', { fields: { title: 0 } }, 'bm25.fields.title', 0],
    ['a weight that is no number', { fields: { title: 'x' } }, 'bm25.fields.title', 'x'],
    ['k1 of 0', { k1: 0 }, 'bm25.k1', 0],
    ['b above 1', { b: 1.5 }, 'bm25.b', 1.5],
    ['b that is NaN', { b: NaN }, 'bm25.b', NaN],
    ['an unknown option', { k2: 3 }, 'bm25.k2', 3],
  ])('%s', (_, options, field, value) => {
    const make = () => new Bm25Retriever(options as Bm25Options);
    expect(make).toThrow(ConfigurationError);
    expect(make).toThrow(expect.objectContaining({ field, value }));
  });

  test.each([0, -1, 1.5, NaN, Infinity, '5'])('a limit of %s', async (limit) => {
    const retriever = await retrieverOf(documents);
    await expect(retriever.retrieve('Rowan', { limit: limit as number })).rejects.toMatchObject({
      name: 'ConfigurationError',
      field: 'limit',
      value: limit,
    });
  });

  test.each([
    ['no id', { content: 'x' }],
    ['content that is no text', { id: 'a', content: 7 }],
    ['null', null],
  ])('a document with %s, and those before it are there', async (_, broken) => {
    const retriever = new Bm25Retriever();
    const adding = retriever.add([documents[0]!, broken as unknown as SourceDocument]);
    await expect(adding).rejects.toMatchObject({ name: 'ConfigurationError', field: 'documents' });
    expect(await ranking(retriever, 'Rowan')).toHaveLength(1);
  });

  test('an aborted search', async () => {
    const retriever = await retrieverOf(documents);
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(retriever.retrieve('Rowan', { signal })).rejects.toThrow('enough');
  });

  test('a document that cannot be read is searched as it stands', async () => {
    const deep = { id: 'deep', content: `${'<div>'.repeat(100_000)}winter`, format: 'html' as const };
    const odd = { id: 'odd', content: 'x', format: 'pdf' as 'html' };
    const retriever = await retrieverOf([deep, odd, { id: 'a', content: 'winter' }]);
    expect((await ranking(retriever, 'winter')).map(([id]) => id).sort()).toEqual(['a', 'deep']);
    expect((await ranking(retriever, 'x')).map(([id]) => id)).toContain('odd');
  });
});

describe('a saved index', () => {
  const odd: SourceDocument = {
    id: 'odd\n"id"',
    title: 'Größe 渡轮',
    content: 'half a pair \ud83d,\u2028 a NUL \0 and two\nlines, winter',
    metadata: { nested: { list: [1, null] } },
  };

  test('answers as before, and can be changed', async () => {
    const options = { fields: { title: 3, content: 1, url: 0.5 }, k1: 0.9, b: 0.3 };
    const retriever = await retrieverOf([...documents, odd, { id: 'gone', content: 'winter' }], options);
    retriever.remove(['gone']);
    const path = join(folder, 'kept');
    await retriever.save(path);
    const loaded = await Bm25Retriever.load(path);
    expect(loaded.size).toBe(4);
    for (const query of ['winter', 'Rowan built 1987', '渡轮', 'grösse pair', 'nothing'])
      expect(await loaded.retrieve(query)).toEqual(await retriever.retrieve(query));
    await loaded.add([{ id: 'rowan', content: 'Crew list', format: 'text' }]);
    await retriever.add([{ id: 'rowan', content: 'Crew list', format: 'text' }]);
    expect(await loaded.retrieve('crew winter Rowan')).toEqual(await retriever.retrieve('crew winter Rowan'));
    await loaded.save(path);
    expect(await ranking(await Bm25Retriever.load(path), 'crew')).toEqual(await ranking(retriever, 'crew'));
  });

  test('of nothing is an empty index', async () => {
    const path = join(folder, 'empty');
    await new Bm25Retriever({ k1: 2 }).save(path);
    const loaded = await Bm25Retriever.load(path);
    expect(loaded.size).toBe(0);
    expect(await loaded.retrieve('Rowan')).toEqual([]);
    await loaded.add(documents);
    expect(await ranking(loaded, 'winter')).toEqual(
      await ranking(await retrieverOf(documents, { k1: 2 }), 'winter'),
    );
  });

  test('is written whole or not at all', async () => {
    const here = join(folder, 'whole');
    mkdirSync(here);
    const retriever = await retrieverOf(documents);
    await retriever.save(join(here, 'index'));
    const bytes = readFileSync(join(here, 'index'));
    mkdirSync(join(here, 'folder'));
    // A folder stands where the file should go: only the last step fails.
    await expect(retriever.save(join(here, 'folder'))).rejects.toThrow();
    await expect(retriever.save(join(here, 'none', 'index'))).rejects.toThrow(/ENOENT/);
    expect(readdirSync(here).sort()).toEqual(['folder', 'index']);
    expect(readFileSync(join(here, 'index'))).toEqual(bytes);
    await Promise.all([retriever.save(join(here, 'index')), retriever.save(join(here, 'index'))]);
    expect((await Bm25Retriever.load(join(here, 'index'))).size).toBe(3);
    expect(readdirSync(here).sort()).toEqual(['folder', 'index']);
  });

  describe('is refused', () => {
    const path = () => join(folder, 'refused');
    let bytes: Buffer;
    let text: string;

    beforeAll(async () => {
      await (await retrieverOf(documents)).save(path());
      bytes = readFileSync(path());
      text = gunzipSync(bytes).toString();
    });

    test.each<[string, () => Buffer, RegExp]>([
      ['cut short', () => bytes.subarray(0, bytes.length - 20), /cannot be read/],
      ['empty', () => Buffer.alloc(0), /cannot be read|no index of this kind/],
      ['not of this kind', () => Buffer.from('id,title\n1,Rowan\n'), /cannot be read/],
      ['another kind of gzip', () => gzipSync('id,title\n1,Rowan\n'), /no index of this kind/],
      ['other JSON', () => gzipSync('{"format":"other"}\n{}'), /no index of this kind/],
      ['null', () => gzipSync('null\n'), /no index of this kind/],
      ['of another version', () => gzipSync(text.replace('"version":1', '"version":9')), /version 9/],
      ['a document short', () => gzipSync(text.slice(0, text.lastIndexOf('\n'))), /checksum/],
      ['changed within', () => gzipSync(text.replace('built', 'build')), /checksum/],
    ])('where it is %s', async (_, file, reason) => {
      writeFileSync(path(), file());
      const error: unknown = await Bm25Retriever.load(path()).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(ConfigurationError);
      expect(error).toMatchObject({ field: 'path', value: path() });
      expect((error as Error).message).toMatch(reason);
    });

    test('where a bit of it is not as it was', async () => {
      for (let at = 10; at < bytes.length; at += 37) {
        const damaged = Buffer.from(bytes);
        damaged[at]! ^= 4;
        writeFileSync(path(), damaged);
        await expect(Bm25Retriever.load(path())).rejects.toThrow(ConfigurationError);
      }
    });

    test('where there is none', async () => {
      await expect(Bm25Retriever.load(join(folder, 'none'))).rejects.toMatchObject({
        field: 'path',
        message: expect.stringMatching(/ENOENT.*build the index anew/) as string,
      });
    });
  });
});
