import { describe, expect, test } from 'vitest';
import {
  knownNames,
  protectedWords,
  type Protection,
  type Surroundings,
} from '../../../compressors/tcra/protected-words.js';
import { quotations } from '../../../compressors/tcra/quotations.js';
import { sentenceWords } from '../../../compressors/tcra/sentence-words.js';
import { queryTerms } from '../../../compressors/words.js';

interface Given {
  readonly query?: string;
  readonly elsewhere?: readonly string[];
  readonly code?: Surroundings['code'];
}

function reasons(sentence: string, { query = '', elsewhere = [], code = [] }: Given = {}) {
  const words = sentenceWords(sentence);
  const kinds = protectedWords(words, {
    query: new Set(query === '' ? [] : queryTerms(query)),
    names: knownNames([sentence, ...elsewhere].map(sentenceWords)),
    quotations: quotations(sentence),
    code,
  });
  return words.map(({ text }, index) => [text, kinds[index]] as const);
}

/** The words of a sentence that stay for one reason. */
function staying(sentence: string, reason: Protection, given?: Given): string[] {
  return reasons(sentence, given).flatMap(([text, kind]) => (kind === reason ? [text] : []));
}

function free(sentence: string, given?: Given): string[] {
  return reasons(sentence, given).flatMap(([text, kind]) => (kind === undefined ? [text] : []));
}

test('plain words may go', () => {
  expect(free('The ferry goes to the island with the mail')).toEqual(
    'The ferry goes to the island with the mail'.split(' '),
  );
});

describe('numbers and units', () => {
  test.each<[string, string[]]>([
    ['it carries 120 people and then leaves', ['120']],
    ['it cost 1,234.50 and more', ['1,234.50']],
    ['there were twenty-one of them and a hundred more', ['twenty-one', 'hundred']],
    ['the fourteenth and the thirtieth ship', ['fourteenth', 'thirtieth']],
    ['es waren zweiundzwanzig oder dreißig davon', ['zweiundzwanzig', 'dreißig']],
    ['eran quince o veinte en total', ['quince', 'veinte']],
    ['ils étaient quatre ou cinquante en tout', ['quatre', 'cinquante']],
    ['erau șapte sau nouă în total', ['șapte', 'nouă']],
    ['toplam sekiz veya dokuz vardı', ['sekiz', 'dokuz']],
    ['có bảy hoặc tám con thuyền', ['bảy', 'tám']],
  ])('%s', (sentence, words) => {
    expect(staying(sentence, 'number')).toEqual(words);
  });

  test.each<[string, string[]]>([
    ['it carries 120 people and then leaves', ['people']],
    ['about half a mile of rope', ['a', 'mile']],
    ['the price rose by ten percent in total', ['percent']],
    ['the width in kilometres of the port', ['kilometres']],
    ['die Breite in kilometer gemessen', ['kilometer']],
    ['cerró en enero por obras', ['enero']],
    ['il ferme en janvier pour travaux', ['janvier']],
  ])('units: %s', (sentence, words) => {
    expect(staying(sentence, 'unit')).toEqual(words);
  });

  test.each([
    ['it holds at least 12 people', 'least'],
    ['it holds up to 12 people', 'to'],
    ['es fasst höchstens 12 Menschen', 'höchstens'],
    ['caben menos de 12 personas', 'de'],
    ['elle pèse environ 12 tonnes', 'environ'],
  ])('what bounds a number: %s', (sentence, word) => {
    expect(staying(sentence, 'number')).toContain(word);
  });
});

describe('negations', () => {
  test.each<[string, string[]]>([
    ['it does not run and never did without wind', ['not', 'never', 'without']],
    ["it isn't open and won’t be", ["isn't", 'won’t']],
    ['es fährt nicht und niemals ohne wind', ['nicht', 'niemals', 'ohne']],
    ['dort war keinerlei schiff und kein hafen', ['keinerlei', 'kein']],
    ['no funciona ni funcionó jamás sin viento', ['no', 'ni', 'jamás', 'sin']],
    ['elle ne part pas et jamais sans vent', ['ne', 'pas', 'jamais', 'sans']],
    ["elle n'est là que pour cela", ["n'est"]],
    ['nu pleacă niciodată fără vânt', ['nu', 'niciodată', 'fără']],
    ['gemi hiç gelmedi ve bunu bilmiyor', ['hiç', 'gelmedi', 'bilmiyor']],
    ['tàu không chạy và chưa bao giờ chạy', ['không', 'chưa']],
    ['non parte mai senza vento', ['non', 'mai', 'senza']],
    ['não parte nunca sem vento', ['não', 'nunca', 'sem']],
    ['hij vaart niet en nooit zonder wind', ['niet', 'nooit', 'zonder']],
  ])('%s', (sentence, words) => {
    expect(staying(sentence, 'negation')).toEqual(words);
  });
});

describe('modals', () => {
  test.each<[string, string[]]>([
    ['it may run and should be seen', ['may', 'should']],
    ["they'll come and we'd see them", ["they'll", "we'd"]],
    ['es kann fahren und müsste halten', ['kann', 'müsste']],
    ['puede salir y debería volver', ['puede', 'debería']],
    ['elle peut partir et doit revenir', ['peut', 'doit']],
    ['poate pleca și trebuie să vină', ['poate', 'trebuie']],
    ['gemi gelebilir ve durmalı', ['gelebilir', 'durmalı']],
    ['tàu nên chạy và cần dừng', ['nên', 'cần']],
  ])('%s', (sentence, words) => {
    expect(staying(sentence, 'modal')).toEqual(words);
  });
});

describe('names', () => {
  test.each<[string, string[]]>([
    ['the ferry to Sylt and the port of Bremen', ['Sylt', 'Bremen']],
    ['the rector of the University of Oxford went there', ['University', 'of', 'Oxford']],
    ['a work by Ludwig van Beethoven was played', ['Ludwig', 'van', 'Beethoven']],
    ['visitó la Ciudad de México con ella', ['Ciudad', 'de', 'México']],
    ['an iPhone with some mRNA for the lab', ['iPhone', 'mRNA']],
    ['das alte Schiff im kleinen Hafen', ['Schiff', 'Hafen']],
  ])('%s', (sentence, words) => {
    expect(staying(sentence, 'name')).toEqual(words);
  });

  test('the first word, where it is written so elsewhere', () => {
    const sentence = 'Will went to the port with the others';
    expect(staying(sentence, 'modal')).toEqual(['Will']);
    expect(free('May went to the port')).not.toContain('May');
    expect(staying('Grace went to the port', 'name', { elsewhere: ['then Grace left'] })).toEqual(['Grace']);
    expect(staying('The band was there', 'name', { elsewhere: ['fans of The Beatles'] })).toEqual(['The']);
  });

  test('the first word, unless it is a function word or written small elsewhere', () => {
    expect(staying('Napoleon went to the port', 'name')).toEqual(['Napoleon']);
    expect(free('The captain went to the port')).toContain('The');
    expect(free('Captains went to the port', { elsewhere: ['all captains left'] })).toContain('Captains');
    expect(staying('New York grew in those years', 'name')).toEqual(['New', 'York']);
  });
});

test.each<[string, string[]]>([
  ['he said "the old ferry is gone" and left', ['"the', 'old', 'ferry', 'is', 'gone"']],
  ['er sagte „das alte schiff ist weg“ und ging', ['„das', 'alte', 'schiff', 'ist', 'weg“']],
  ['elle a dit « le vieux bateau » et partit', ['«', 'le', 'vieux', 'bateau', '»']],
  ['it was called ‘the old one’ by them', ['‘the', 'old', 'one’']],
  ["it was called 'the old one' by them", ["'the", 'old', "one'"]],
])('quotations: %s', (sentence, words) => {
  const kept = new Set(free(sentence));
  expect(words.filter((word) => kept.has(word))).toEqual([]);
});

describe('code and the like', () => {
  test.each<[string, string[]]>([
    ['see https://example.org/a?b=c for the rest', ['https://example.org/a?b=c']],
    ['write to a.b@example.org in that case', ['a.b@example.org']],
    ['call init_all() with --force and x=y then', ['init_all()', '--force', 'x=y']],
    ['the port 🚢 is of interest', ['🚢']],
    ['the word порт is of interest', ['порт']],
  ])('%s', (sentence, words) => {
    const kept = new Set(free(sentence));
    expect(words.filter((word) => kept.has(word))).toEqual([]);
  });

  test('stretches that the source marks', () => {
    const sentence = 'type npm run build in the folder';
    expect(staying(sentence, 'code', { code: [{ start: 5, end: 18 }] })).toEqual(['npm', 'run', 'build']);
  });
});

test('the query’s words in any form, and those beside them', () => {
  const sentence = 'in those times the winter fares of bicycles were rather low there';
  const given = { query: 'What is the winter fare of a bicycle?' };
  expect(staying(sentence, 'query', given)).toEqual(['winter', 'fares', 'bicycles']);
  expect(staying(sentence, 'beside the query', given)).toEqual(['the', 'of', 'were']);
  expect(free(sentence, given)).toEqual(['in', 'those', 'times', 'rather', 'low', 'there']);
});

test('words whose marks would stand alone', () => {
  expect(free('the old, grey ferry (and its crew) left again.')).toEqual([
    'the',
    'grey',
    'ferry',
    'its',
    'left',
  ]);
  expect(free('the ferry – which ran – was old')).toEqual(['the', 'old']);
});

test('hyphenated words and contractions are one', () => {
  expect(free("it's the captain's well-known song of old")).toEqual([
    "it's",
    'the',
    "captain's",
    'well-known',
    'song',
    'of',
    'old',
  ]);
});
