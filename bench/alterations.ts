import { swapped } from './corruptions.js';

/**
 * Second set of false sentences: other kinds than those of corruptions.ts, on which the guard of summaries was built.
 * Where a word of a pair stands, the other takes its place.
 */
const PAIRS = {
  unit: 'km miles, kilometres miles, kilometers miles, miles kilometres, metres feet, meters feet, feet metres, m ft, ft m, kg pounds, pounds euros, inches metres, acres hectares, hectares acres, million billion, millions billions, billion million, thousand million, hundred thousand, percent per-mille, % ‰, $ €, £ $, € $, dollars euros, euros pounds, years months, months weeks, weeks days, days hours, hours minutes, minutes hours, seconds minutes, decades years, centuries decades, century decade, AD BC, BC AD, am pm, pm am',
  ordinal:
    'first third, second fourth, third second, fourth sixth, fifth third, sixth fifth, seventh eighth, eighth ninth, ninth tenth, tenth ninth, 1st 3rd, 2nd 4th, 3rd 2nd, last first, final first, next last, 18th 17th, 19th 18th, 20th 19th, 21st 20th',
  'number word':
    'one six, two five, three seven, four nine, five two, six four, seven three, eight six, nine four, ten twelve, eleven fifteen, twelve ten, thirteen thirty, fourteen forty, fifteen fifty, sixteen sixty, twenty fifty, thirty thirteen, forty fourteen, fifty fifteen, half third, third quarter, quarter half, twice thrice, double triple, dozen score, single double, once twice',
  comparative:
    'more fewer, less more, fewer more, larger smaller, smaller larger, greater lesser, bigger smaller, higher lower, lower higher, older younger, younger older, longer shorter, shorter longer, better worse, worse better, earlier later, later earlier, faster slower, stronger weaker, closer farther, before after, after before, above below, below above, over under, under over, best worst, most least, least most, largest smallest, smallest largest, highest lowest, lowest highest, oldest youngest, longest shortest, greatest least',
  quantifier:
    'all some, every no, each no, some all, most few, many few, few many, both neither, several all, always sometimes, often rarely, usually rarely, sometimes always, rarely often, never always, everyone nobody, everything nothing, none all, entirely partly, completely partly, mostly hardly, mainly hardly, partly entirely, any no, various no, numerous few',
  opposite:
    'rose fell, fell rose, increased decreased, increase decrease, decreased increased, won lost, lost won, opened closed, closed opened, born killed, began ended, begins ends, started ended, ended began, bought sold, sold bought, north south, south north, east west, west east, northern southern, southern northern, eastern western, western eastern, male female, female male, father mother, mother father, son daughter, daughter son, brother sister, sister brother, husband wife, wife husband, man woman, woman man, he she, she he, his her, accepted rejected, rejected accepted, entered left, joined left, left joined, hot cold, cold hot, warm cold, upper lower, right left, good bad, positive negative, negative positive, public private, private public, major minor, minor major, internal external, external internal, early late, late early, ancient modern, modern ancient, old new, new old, young old, rich poor, high low, low high, long short, short long, large small, small large, big small, strong weak, up down, down up, inside outside, outside inside, victory defeat, defeat victory, success failure, successful unsuccessful, legal illegal, true false, agreed refused, failed managed, supported opposed, opposed supported, allowed forbidden, common rare, rare common, front back, left right, summer winter, winter summer, day night, black white, white black, red green, green red, same different',
  modal:
    'may must, might must, can cannot-but, could must, must may, should may, will may, would must, possible certain, possibly certainly, probably certainly, likely unlikely, perhaps certainly, apparently certainly, allowed required, required allowed',
  connective:
    'if unless, unless if, because although, although because, though because, despite due-to, when until, until since, since until, while after, during after, with without, and or, or and, therefore nevertheless, from to, including excluding',
  tense: 'was will-be, were will-be, is was-formerly, are were-formerly, has will-have, had will-have',
} as const;

/** Words without which a sentence says more than it did. */
const QUALIFIER =
  / (?:only|almost|nearly|formerly|former|allegedly|reportedly|supposedly|fictional|proposed|attempted|unsuccessful(?:ly)?|alleged|partly|partially|rarely|hardly|barely|possibly|probably|perhaps|apparently|arguably|about|around|approximately|at least|at most|up to|unofficial|so-called|initially|originally|temporarily|acting|deputy|assistant|vice|honorary|potential)(?= )/;

const LANGUAGES = {
  German:
    'mehr weniger, weniger mehr, alle einige, einige alle, viele wenige, größer kleiner, größte kleinste, größten kleinsten, höher niedriger, vor nach, nach vor, erste dritte, ersten dritten, zweite vierte, zweiten vierten, zwei fünf, drei sieben, stieg fiel, gewann verlor, gewannen verloren, über unter, immer nie, kann muss, können müssen, war wird, nördlich südlich, südlich nördlich, Süden Norden, Osten Westen, Norden Süden, Westen Osten, Millionen Milliarden, Jahre Monate, Jahren Monaten, Prozent Promille, ab bis, neue alte, neuen alten, hohe niedrige',
  Spanish:
    'más menos, menos más, todos algunos, todas algunas, algunos todos, muchos pocos, mayor menor, menor mayor, antes después, después antes, primer tercer, primera tercera, segundo cuarto, segunda cuarta, dos cinco, tres siete, ganó perdió, siempre nunca, puede debe, pueden deben, norte sur, sur norte, este oeste, oeste este, millones billones, años meses, nuevo viejo, alta baja, alto bajo, sobre bajo, desde hasta, hasta desde, sin con, con sin',
  Russian:
    'более менее, больше меньше, меньше больше, все некоторые, многие немногие, до после, после до, первый третий, первая третья, первой третьей, два пять, три семь, всегда никогда, может должен, были будут, был будет, северной южной, юге севере, миллионов миллиардов, лет месяцев, года месяца, крупнейший мельчайший, высокий низкий, новый старый',
  Chinese:
    '第一 第三, 第二 第四, 最大 最小, 最高 最低, 所有 部分, 许多 少数, 大多数 少数, 超过 不到, 之前 之后, 之后 之前, 增加 减少, 减少 增加, 以上 以下, 北部 南部, 南部 北部, 东部 西部, 西部 东部, 赢得 输掉, 两 五, 三 七, 可能 必须, 可以 必须, 万 亿, 年 月, 公里 英里, 米 英尺, 开始 结束, 新 旧, 父亲 母亲, 儿子 女儿, 总是 从不',
} as const;

export type AlteredLanguage = keyof typeof LANGUAGES;

export const ALTERATIONS = [
  ...(Object.keys(PAIRS) as (keyof typeof PAIRS)[]),
  'qualifier dropped',
  'negation moved',
  'day and month exchanged',
  'nouns swapped',
  'clauses exchanged',
  'passive made active',
  'from and to exchanged',
  'subject of another sentence',
] as const;

export type Alteration = (typeof ALTERATIONS)[number];

/**
 * A sentence altered so that it says what its document does not, once a kind that it allows.
 * @param others the other sentences of its document
 */
export function alterations(sentence: string, others: readonly string[]): Map<Alteration, string> {
  const found = new Map<Alteration, string>();
  const add = (kind: Alteration, text: string | undefined) => {
    if (text !== undefined && text !== sentence && !others.includes(text)) found.set(kind, text);
  };
  for (const kind of Object.keys(PAIRS) as (keyof typeof PAIRS)[]) add(kind, paired(sentence, PAIRS[kind]));
  add('qualifier dropped', sentence.replace(QUALIFIER, ''));
  add('negation moved', negationMoved(sentence));
  add('day and month exchanged', dayAndMonth(sentence));
  add('nouns swapped', swapped(sentence, NOUN));
  const [, first, link, second] = /^([^,;]{20,}),? (and|but|while) ([^,;]{20,})\.$/.exec(sentence) ?? [];
  if (first !== undefined) add('clauses exchanged', subjectsExchanged(first, link!, second!));
  add('passive made active', sentence.replace(/ (?:was|were|is|are) (\w+ed) by (?=\w)/, ' $1 '));
  add('from and to exchanged', sentence.replace(/ from ([^,.;]+?) to (?=\w)/, ' to $1 from '));
  add('subject of another sentence', subjectOf(sentence, others));
  return found;
}

/** As `alterations`, by the pairs of words of a language: all of its pairs that the sentence has, one each. */
export function alterationsIn(language: AlteredLanguage, sentence: string): string[] {
  return LANGUAGES[language].split(', ').flatMap((pair) => paired(sentence, pair) ?? []);
}

/** The first of the pairs that the sentence has. */
function paired(sentence: string, pairs: string): string | undefined {
  for (const pair of pairs.split(', ')) {
    const [word, other] = pair.split(' ') as [string, string];
    const isWord = /^[\p{L}\p{N}]+$/u.test(word) && !/\p{Script=Han}/u.test(word);
    const form = new RegExp(
      isWord
        ? `(?<![\\p{L}\\p{N}'’-])${word}(?![\\p{L}\\p{N}'’-])`
        : word.replace(/[$]/g, '\\$&') + (word === '%' || /\p{Script=Han}/u.test(word) ? '' : '(?= ?\\d)'),
      'u',
    );
    if (form.test(sentence)) return sentence.replace(form, () => other.replace('-', ' '));
  }
  return undefined;
}

/** From the verb that it denies to another. */
function negationMoved(sentence: string): string | undefined {
  const denied = / (is|was|are|were|has|had|can|will|would|could|did|does|do) not(?= )/.exec(sentence);
  if (!denied) return undefined;
  const bare =
    sentence.slice(0, denied.index) + ` ${denied[1]!}` + sentence.slice(denied.index + denied[0].length);
  const verbs = [...bare.matchAll(/ (?:is|was|are|were|has|had|can|will|would|could)(?= )/g)];
  const other = verbs.find(({ index }) => index !== denied.index);
  if (!other) return undefined;
  const at = other.index + other[0].length;
  return `${bare.slice(0, at)} not${bare.slice(at)}`;
}

const MONTHS = 'January February March April May June July August September October November December'.split(
  ' ',
);

/** 3 May is 5 March. */
function dayAndMonth(sentence: string): string | undefined {
  const names = MONTHS.join('|');
  const form = new RegExp(`\\b(?:(\\d{1,2}) (${names})|(${names}) (\\d{1,2}))\\b`);
  const [date, before, month, monthFirst, after] = form.exec(sentence) ?? [];
  const day = Number(before ?? after);
  const number = MONTHS.indexOf((month ?? monthFirst)!) + 1;
  if (date === undefined || day > 12 || day === number) return undefined;
  const other = MONTHS[day - 1]!;
  return sentence.replace(date, before === undefined ? `${other} ${number}` : `${number} ${other}`);
}

/** A noun behind an article. */
const NOUN =
  /(?<=\b[Tt]he )\p{Ll}{3,}(?= (?:of|is|was|are|were|has|had|in|on|by|to|and|from|for|with)\b|[.,])/gu;

const SUBJECT = /^(.{2,60}?) ((?:is|was|are|were|has|had|can|will|would|could|did|became|began|won)\b.*)$/;

/** "A was x and B was y" as "B was x and A was y". */
function subjectsExchanged(first: string, link: string, second: string): string | undefined {
  const [, a, x] = SUBJECT.exec(first) ?? [];
  const [, b, y] = SUBJECT.exec(second) ?? [];
  // A pronoun, or a stretch with a mark in it, is no subject of its own.
  if (
    a === undefined ||
    b === undefined ||
    [a, b].some((each) => /^(?:it|he|she|they|who|which)$/i.test(each))
  )
    return undefined;
  return `${b[0]!.toUpperCase()}${b.slice(1)} ${x!} ${link} ${a} ${y!}.`;
}

function subjectOf(sentence: string, others: readonly string[]): string | undefined {
  const [, own, rest] = SUBJECT.exec(sentence) ?? [];
  if (own === undefined) return undefined;
  for (const other of others) {
    const [, theirs] = SUBJECT.exec(other) ?? [];
    if (
      theirs !== undefined &&
      !/^(?:it|he|she|they|this|these|there|that)\b/i.test(theirs) &&
      !own.includes(theirs) &&
      !theirs.includes(own)
    )
      return `${theirs} ${rest!}`;
  }
  return undefined;
}
