import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nearDuplicates } from '../../../compressors/zipfit/near-duplicates.js';

const notice =
  'The Harbour Line runs every day in winter except on 24 December, and the fares have not changed since 2019. ' +
  'Bicycles and small dogs travel free of charge on weekdays, but a place for them must be booked at the office ' +
  'in Troon before the ship sails.';
const history =
  'The Rowan was built in 1987 at Troon for the short crossing and carried sixty cars on her first voyage to Arran.';

/** Whether the second of two texts is taken for a copy of the first. */
const repeats = (original: string, text: string, similarity?: number) =>
  nearDuplicates([original, text], similarity)[1] === 0;

function edited(original: string, ...edits: [string, string][]): string {
  return edits.reduce((text, [from, to]) => {
    expect(text).toContain(from);
    return text.replace(from, to);
  }, original);
}

describe('a text that says nothing new is found', () => {
  test.each<[string, string]>([
    ['the same again', notice],
    [
      'other white space and marks',
      edited(notice, ['day in', 'day,\n  in'], ['2019. ', '2019 –\u00a0'], ['sails.', 'sails']),
    ],
    ['other marks beside numbers', edited(notice, ['24 December,', '24, December'])],
    ['plurals and case of a word', edited(notice, ['fares', 'fare'], ['ship', 'ships'])],
    ['a word left out', edited(notice, [' small', ''])],
    ['its beginning', notice.slice(0, notice.indexOf(' at the office'))],
  ])('%s', (_, text) => {
    expect(repeats(notice, text)).toBe(true);
  });

  test.each([
    [
      'Chinese',
      '渡轮每天早上八点开航，冬季除外。自行车可以免费携带。',
      '渡轮每天早上八点开航, 冬季除外! 自行车可以免费携带',
    ],
    [
      'Japanese',
      'フェリーは毎日運航しています。自転車は無料です。',
      'フェリーは毎日運航しています 自転車は無料です',
    ],
    [
      'Korean',
      '여객선은 겨울에도 매일 운항하며 자전거는 무료입니다.',
      '여객선은 겨울에도, 매일 운항하며 자전거는 무료입니다!',
    ],
    [
      'Arabic',
      'تعمل العبارة كل يوم في الشتاء وتسافر الدراجات مجانا على متنها',
      'تعمل العبّارة كلّ يوم في الشتاء، وتسافر الدراجات مجاناً على متنها.',
    ],
    ['Thai', 'เรือข้ามฟากออกทุกวันในฤดูหนาวและจักรยานขึ้นเรือฟรี', 'เรือข้ามฟากออกทุกวันในฤดูหนาวและจักรยานขึ้นเรือฟรี.'],
  ])('%s, the same words again', (_, original, text) => {
    expect(repeats(original, text)).toBe(true);
  });
});

describe('a text that says anything else is new', () => {
  test.each<[string, string]>([
    ['another number', edited(notice, ['24', '25'])],
    ['another word', edited(notice, ['before the ship', 'after the ship'])],
    ['a word put in', edited(notice, ['must be', 'must seldom be'])],
    ['another year', edited(notice, ['2019', '2009'])],
    ['another month', edited(notice, ['December', 'November'])],
    ['another name', edited(notice, ['Troon', 'Brodick'])],
    ['a name more', edited(notice, ['Line runs', 'Line of Arran runs'])],
    ['one negation less', edited(notice, ['have not changed', 'have changed'])],
    ['a negation more', edited(notice, ['must be', 'must not be'])],
    ['a negation in short', edited(notice, ['must be', "mustn't be"])],
    ['a negation in short with another apostrophe', edited(notice, ['must be', 'mustn’t be'])],
    ['never', edited(notice, ['travel free', 'never travel free'])],
    ['without', edited(notice, ['free of charge', 'without a charge'])],
    [
      'a negation that stands elsewhere',
      edited(notice, ['have not changed', 'have changed'], ['must be', 'must not be']),
    ],
    [
      'a sentence more',
      `${notice} Prams are charged for by weight at the gate, and so are large boxes and sledges.`,
    ],
  ])('%s', (_, text) => {
    expect(repeats(notice, text)).toBe(false);
  });

  test.each([
    ['prices', 'A single costs 4.20 and a return costs 7.50'],
    ['a sum of money', 'A single costs £4.20 and the deposit is 7 % of it'],
    ['a temperature', 'The water was at -5 and the air at 7.50 degrees'],
    ['names', 'First the Alder sails, and the Rowan follows'],
  ])('%s: other ones, or the same ones elsewhere', (_, sentence) => {
    const original = `${sentence}, as it has been for as long as anybody in the harbour office can remember. ${notice}`;
    const changes: [string, string][] = [
      ['4.20', '4.30'],
      ['£', '$'],
      ['%', '‰'],
      ['-5', '5'],
      ['Alder', 'Aspen'],
    ];
    for (const [from, to] of changes.filter(([from]) => sentence.includes(from)))
      expect(repeats(original, original.replace(from, to))).toBe(false);
    const swapped = original.replace(
      /4\.20|7\.50|Alder|Rowan/g,
      (found) => ({ '4.20': '7.50', '7.50': '4.20', Alder: 'Rowan', Rowan: 'Alder' })[found]!,
    );
    expect(repeats(original, swapped)).toBe(false);
    expect(repeats(original, original)).toBe(true);
  });

  const long = {
    en: `${history} ${notice}`,
    zh: '渡轮每天早上八点从港口开航，冬季也照常运行，自行车可以免费携带，狗必须系好绳子，汽车票请提前在办公室购买，儿童票半价，老人和学生请出示证件，码头上有停车场和咖啡馆。',
    ja: 'フェリーは毎日午前八時に港を出発し、冬も運航しています。自転車は無料で乗せられますが、犬はつないでください。車の切符は事務所で買えます。',
    ar: 'تعمل العبارة كل يوم في الشتاء وتسافر الدراجات مجانا على متنها ويجب حجز مكان لها في مكتب الميناء قبل أن تغادر السفينة مع أحمد إلى الجزيرة وتباع التذاكر في المقهى الصغير قرب المرسى القديم',
    fr: 'La traversée est ouverte tous les jours de la semaine sauf le lundi en hiver, et les vélos voyagent gratuitement à bord du bateau pendant toute la saison si leur place est réservée au bureau du port avant le départ.',
    ru: 'Паром ходит каждый день, кроме понедельника, с начала января, а велосипеды и небольшие собаки перевозятся бесплатно, если место для них заказано в конторе порта до отхода судна от причала на остров.',
  };
  test.each([
    ['a number in words', long.en, 'sixty', 'seventy'],
    ['Chinese numbers', long.zh, '八点', '九点'],
    ['Chinese words', long.zh, '免费', '付费'],
    ['a Chinese negation', long.zh, '自行车可以', '自行车不可以'],
    ['Japanese numbers', long.ja, '八時', '九時'],
    ['a Japanese negation', long.ja, '乗せられます', '乗せられません'],
    ['an Arabic name', long.ar, 'أحمد', 'محمود'],
    ['an Arabic negation', long.ar, 'تسافر', 'لا تسافر'],
    ['a French day', long.fr, 'lundi', 'mardi'],
    ['a French negation', long.fr, 'est ouverte', 'n’est pas ouverte'],
    ['a Russian month', long.ru, 'января', 'марта'],
    ['a Russian negation', long.ru, 'перевозятся', 'не перевозятся'],
  ])('%s', (_, original, from, to) => {
    const text = edited(original, [from, to]);
    expect(repeats(original, text)).toBe(false);
    expect(repeats(text, original)).toBe(false);
    expect(repeats(original, original)).toBe(true);
  });

  test('a Chinese text whose negation alone is left out', () => {
    const original = '不可以携带狗和自行车进入客舱或者餐厅';
    expect(repeats(original, original.slice(1))).toBe(false);
  });

  test.each([
    ['short texts', 'Dogs travel free of charge.', 'Dogs travel free of charge.'],
    ['short texts in Chinese', '自行车可以免费', '自行车可以免费'],
    ['empty texts', '', ''],
    ['marks', '* * * * * * * * * *', '* * * * * * * * * *'],
    ['lone surrogates', '\ud83d', '\ud83d'],
  ])('%s, which mean what they mean by where they stand', (_, original, text) => {
    expect(repeats(original, text)).toBe(false);
  });
});

describe('of several', () => {
  test('the first is the original, and every copy says so', () => {
    const other = 'We are looking for two cooks and a deckhand. Please write to the office with your papers.';
    expect(nearDuplicates([notice, other, notice, history, other, notice, `${history} `])).toEqual([
      -1, -1, 0, -1, 1, 0, 3,
    ]);
    expect(nearDuplicates([])).toEqual([]);
  });

  test('a longer text after its excerpt is new, the excerpt after it a copy', () => {
    const beginning = notice.slice(0, notice.indexOf(' Bicycles'));
    expect(nearDuplicates([beginning, notice])).toEqual([-1, -1]);
    expect(nearDuplicates([notice, beginning])).toEqual([-1, 0]);
  });

  test('a copy is found among those that share a template', () => {
    const days = Array.from(
      { length: 60 },
      (_, day) =>
        `On day ${day} of the season the ship left on time and nothing worth writing down happened on board.`,
    );
    expect(nearDuplicates(days)).toEqual(days.map(() => -1));
    expect(nearDuplicates([...days, days[17]!, days[59]!, days[0]!]).slice(60)).toEqual([17, 59, 0]);
  });

  test('a copy is found though a part of it was said before', () => {
    expect(nearDuplicates([history, `${history} ${notice}`, `${history} ${notice}`])).toEqual([-1, -1, 1]);
  });

  test('a text is no copy of one that was itself a copy', () => {
    // Each leaves out a little of the one before: at some point it is a text of its own, and the next is compared with that.
    const versions = [notice.toLowerCase()];
    for (const words of [
      ' small',
      ' in winter',
      ' at the office',
      ' of charge',
      ' for them',
      ' have',
      ' in troon',
    ])
      versions.push(edited(versions.at(-1)!, [words, '']));
    const found = nearDuplicates(versions);
    expect(found[1]).toBe(0);
    expect(found.slice(2)).toContain(-1);
    for (const original of found) if (original >= 0) expect(found[original]).toBe(-1);
  });

  test('how much an original must hold can be set', () => {
    const words = edited(notice, [' small', '']);
    expect([1, 0.95, 0.8, 0.5].map((similarity) => repeats(notice, words, similarity))).toEqual([
      false,
      false,
      true,
      true,
    ]);
  });

  const paragraph = fc
    .array(
      fc.oneof(
        fc.constantFrom(
          'ferry',
          'the',
          'harbour',
          'not',
          'Rowan',
          '1987',
          'winter',
          'fare',
          '渡轮',
          'паром',
          '\ud83d',
        ),
        fc.string({ maxLength: 6 }),
      ),
      { maxLength: 30 },
    )
    .map((words) => words.join(' '));

  test('originals come before, are originals, and have every name, number and negation', () => {
    const telling = (text: string) => text.match(/\bnot\b|Rowan|1987/g) ?? [];
    // Edited copies among them, so that duplicates do occur.
    const texts = fc.array(fc.tuple(paragraph, fc.nat(9), fc.constantFrom('', ' not', ' Rowan', ' ferry')), {
      minLength: 1,
      maxLength: 12,
    });
    let duplicates = 0;
    fc.assert(
      fc.property(texts, (parts) => {
        const all: string[] = [];
        for (const [fresh, back, extra] of parts) all.push((all.at(-1 - back) ?? fresh) + extra);
        const found = nearDuplicates(all, 0.5);
        expect(nearDuplicates(all, 0.5)).toEqual(found);
        for (const [index, original] of found.entries()) {
          if (original < 0) continue;
          duplicates++;
          expect(original).toBeLessThan(index);
          expect(found[original]).toBe(-1);
          const [mine, its] = [telling(all[index]!), telling(all[original]!)];
          expect(its).toEqual(expect.arrayContaining(mine));
          expect(mine.filter((word) => word === 'not')).toHaveLength(
            its.filter((word) => word === 'not').length,
          );
        }
      }),
      { numRuns: 300 },
    );
    expect(duplicates).toBeGreaterThan(50);
  });

  test('a long text again is a copy, whatever it is', () => {
    fc.assert(
      fc.property(fc.array(paragraph, { maxLength: 5 }), paragraph, (before, text) => {
        const long = `${text} one more ferry to the harbour of the island`;
        const found = nearDuplicates([...before, long, long]);
        expect(found.at(-1)).toBeGreaterThanOrEqual(0);
        expect(found.at(-1)).toBeLessThanOrEqual(before.length);
      }),
      { numRuns: 300 },
    );
  });

  // Comparing every pair would take minutes here.
  test('20,000 texts of one template', () => {
    const many = Array.from(
      { length: 20_000 },
      (_, index) =>
        `Entry ${index} of the log: the ship left its berth on time and nothing else happened that day.`,
    );
    const found = nearDuplicates([...many, many[12_345]!]);
    expect(found.slice(0, -1).every((original) => original === -1)).toBe(true);
    expect(found.at(-1)).toBe(12_345);
  });
});
