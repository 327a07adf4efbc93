import fc from 'fast-check';
import { countTokens as countCl100k } from 'gpt-tokenizer/encoding/cl100k_base';
import { countTokens as countHarmony } from 'gpt-tokenizer/encoding/o200k_harmony';
import { countTokens as countO200k } from 'gpt-tokenizer/encoding/o200k_base';
import { describe, expect, test } from 'vitest';
import { ConfigurationError } from '../../settings/configuration-error.js';
import { Decoder } from '../../models/decoder/decoder.js';
import { loadTokenCounter } from '../../models/token-counter.js';

const asText = { disallowedSpecial: new Set<string>() };
const exact = {
  o200k_base: (text: string) => countO200k(text, asText),
  o200k_harmony: (text: string) => countHarmony(text, asText),
  cl100k_base: (text: string) => countCl100k(text, asText),
};

const texts: Readonly<Record<string, string>> = {
  nothing: '',
  English:
    'The ferry left the harbour at nine, and it was already late when the fog came in. Nobody on board had expected that.',
  German:
    'Die Fähre verließ den Hafen um neun, und es war schon spät, als der Nebel kam. Niemand hatte das erwartet.',
  French:
    'Le bac a quitté le port à neuf heures, et il était déjà tard quand le brouillard est arrivé. Personne n’y pensait.',
  Spanish:
    'El transbordador salió del puerto a las nueve, y ya era tarde cuando llegó la niebla. Nadie lo esperaba.',
  Czech: 'Trajekt opustil přístav v devět hodin a už bylo pozdě, když přišla mlha. Nikdo to nečekal.',
  Turkish:
    'Vapur limandan saat dokuzda ayrıldı ve sis geldiğinde vakit çoktan geç olmuştu. Kimse bunu beklemiyordu.',
  Vietnamese: 'Phà rời cảng lúc chín giờ và trời đã khuya khi sương mù kéo đến. Không ai ngờ tới điều đó.',
  Russian: 'Паром вышел из порта в девять, и было уже поздно, когда пришёл туман. Никто этого не ожидал.',
  Greek:
    'Το πλοίο έφυγε από το λιμάνι στις εννέα και ήταν ήδη αργά όταν ήρθε η ομίχλη. Κανείς δεν το περίμενε.',
  Armenian: 'Լաստանավը նավահանգստից դուրս եկավ ժամը իննին, և արդեն ուշ էր, երբ մառախուղը եկավ։',
  Georgian: 'ბორანი ნავსადგურიდან ცხრა საათზე გავიდა და უკვე გვიანი იყო, როცა ნისლი მოვიდა.',
  Hebrew: 'המעבורת יצאה מהנמל בשעה תשע, וכבר היה מאוחר כשהערפל הגיע. איש לא ציפה לכך.',
  Arabic: 'غادرت العبّارة الميناء في التاسعة، وكان الوقت قد تأخر عندما حل الضباب. لم يتوقع أحد ذلك.',
  Hindi: 'नौका नौ बजे बंदरगाह से निकली, और जब कोहरा आया तब तक देर हो चुकी थी। किसी को इसकी उम्मीद नहीं थी।',
  Bengali: 'ফেরিটি নয়টায় বন্দর ছেড়েছিল, এবং কুয়াশা আসার সময় ইতিমধ্যে দেরি হয়ে গিয়েছিল।',
  Tamil: 'படகு ஒன்பது மணிக்கு துறைமுகத்தை விட்டு புறப்பட்டது, மூடுபனி வந்தபோது ஏற்கனவே தாமதமாகிவிட்டது.',
  Telugu: 'ఫెర్రీ తొమ్మిది గంటలకు నౌకాశ్రయం నుండి బయలుదేరింది, పొగమంచు వచ్చేసరికి ఆలస్యమైంది.',
  Thai: 'เรือข้ามฟากออกจากท่าตอนเก้าโมง และสายมากแล้วเมื่อหมอกมาถึง ไม่มีใครคาดคิด',
  Lao: 'ເຮືອຂ້າມຟາກອອກຈາກທ່າເຮືອເວລາເກົ້າໂມງ ແລະມັນກໍ່ຊ້າແລ້ວເມື່ອໝອກມາ',
  Burmese: 'ကူးတို့သင်္ဘောသည် ကိုးနာရီတွင် ဆိပ်ကမ်းမှ ထွက်ခွာခဲ့ပြီး မြူများရောက်လာသောအခါ နောက်ကျနေပြီဖြစ်သည်။',
  Khmer: 'សាឡាងបានចាកចេញពីកំពង់ផែនៅម៉ោងប្រាំបួន ហើយវាយឺតទៅហើយពេលអ័ព្ទមកដល់។',
  Amharic: 'ጀልባው ወደቡን በዘጠኝ ሰዓት ለቀቀ፣ ጭጋጉም ሲመጣ ቀድሞውኑ ዘግይቷል።',
  Chinese: '渡轮九点离开港口，雾来的时候已经很晚了。没有人预料到这一点。',
  Japanese: 'フェリーは九時に港を出て、霧が来たときにはもう遅かった。誰も予想していなかった。',
  Korean: '페리는 아홉 시에 항구를 떠났고 안개가 왔을 때는 이미 늦었다. 아무도 예상하지 못했다.',
  code: 'export async function fares(path: string): Promise<number[]> {\n  const rows = (await readFile(path)).split("\\n");\n  return rows.map((row) => Number(row[1] ?? 0));\n}\n',
  Python:
    'def fares(path):\n    with open(path) as file:\n        for row in csv.reader(file):\n            yield float(row[1])\n',
  HTML: '<div class="card wide" id="x1"><a href="/p?q=1&amp;r=2">The Rowan</a><br/>Built in 1987.</div>\n',
  JSON: JSON.stringify(
    Array.from({ length: 10 }, (_, id) => ({ id, name: 'Rowan', tags: ['a', 'b'], ok: true, price: 4.2 })),
    null,
    2,
  ),
  numbers: '1,234.50 3.14159 2024-06-03T10:00:00Z +49 30 901820 0xff 99.9%',
  URLs: 'https://www.ferry.example/a/b-c_d/e.html?utm_source=x&utm_medium=y#frag-12',
  base64: Buffer.from(
    Array.from({ length: 900 }, (_, index) => (index * index * 31 + index * 7) % 256),
  ).toString('base64'),
  hexadecimal: Array.from({ length: 100 }, (_, index) => ((index * 2_654_435_761) >>> 0).toString(16)).join(
    '',
  ),
  capitals: 'THE FERRY LEFT THE HARBOUR AT NINE, AND IT WAS LATE WHEN THE FOG CAME.',
  emoji: '😀🎉👩‍👩‍👧🇩🇪👍🏽❤️🤷‍♂️🧑‍🚀'.repeat(5),
  'mathematical letters': '𝕳𝖊𝖑𝖑𝖔 𝓦𝓸𝓻𝓵𝓭 ∀x∈ℝ: ∃y≤√x ⇒ ∑ᵢ αᵢ ≠ ∞',
  'full-width forms': 'ＨＥＬＬＯ　ｗｏｒｌｄ　１２３',
  'box drawing': '┌──┬──┐\n│ a│ b│\n└──┴──┘\n',
  'a run of spaces': `a${' '.repeat(500)}b`,
  'a run of tabs': '\t'.repeat(300),
  'a run of line breaks': '\n'.repeat(300),
  'a run of dashes': '-'.repeat(500),
  'a run of one letter': 'a'.repeat(2_000),
  'a run of letters': 'abcdefghijklmnopqrstuvwxyz'.repeat(20),
  'control characters': '\0\u0001\u0002\u001b[0m'.repeat(20),
  'lone surrogates': '\ud83d \ude00',
};

describe('the encoding of a model', () => {
  test.each([
    ['gpt-4o', 'o200k_base'],
    ['gpt-4o-mini-2024-07-18', 'o200k_base'],
    ['gpt-4.1-nano', 'o200k_base'],
    ['gpt-5', 'o200k_base'],
    ['gpt-5.1-codex-max', 'o200k_base'],
    ['o3', 'o200k_base'],
    ['o4-mini', 'o200k_base'],
    ['chatgpt-4o-latest', 'o200k_base'],
    ['GPT-4o', 'o200k_base'],
    [' gpt-4o ', 'o200k_base'],
    ['ft:gpt-4o-mini:acme::abc123', 'o200k_base'],
    ['openai/gpt-4o', 'o200k_base'],
    ['openai:gpt-5-mini', 'o200k_base'],
    ['openrouter/openai/gpt-4o:online', 'o200k_base'],
    ['azure/gpt-4o', 'o200k_base'],
    ['azure/gpt-35-turbo', 'cl100k_base'],
    ['o200k_base', 'o200k_base'],
    ['gpt-4', 'cl100k_base'],
    ['gpt-4-turbo-2024-04-09', 'cl100k_base'],
    ['gpt-3.5-turbo', 'cl100k_base'],
    ['ft:gpt-3.5-turbo:acme::abc', 'cl100k_base'],
    ['text-embedding-3-small', 'cl100k_base'],
    ['cl100k_base', 'cl100k_base'],
    ['gpt-oss-120b', 'o200k_harmony'],
    ['openai/gpt-oss-20b', 'o200k_harmony'],
    ['claude-sonnet-4-5', 'estimate'],
    ['meta-llama/Llama-3.3-70B-Instruct', 'estimate'],
    ['gpt2', 'estimate'],
    ['gpt-j-6b', 'estimate'],
    ['o', 'estimate'],
    ['o3d', 'estimate'],
    ['mistral-large-latest', 'estimate'],
    [undefined, 'estimate'],
  ])('%s is counted by %s', async (model, encoding) => {
    const counter = await loadTokenCounter(model);
    expect(counter.name).toBe(encoding);
    expect(counter.exact).toBe(encoding !== 'estimate');
  });

  test.each(['', '  '])('an empty name %j is no model', async (model) => {
    await expect(loadTokenCounter(model)).rejects.toThrow(ConfigurationError);
  });
});

describe.each(Object.keys(exact) as (keyof typeof exact)[])('%s', (encoding) => {
  test('counts as the tokenizer does', async () => {
    const counter = await loadTokenCounter(encoding);
    for (const [kind, text] of Object.entries(texts))
      if (!kind.startsWith('a run'))
        expect([kind, counter.count(text)]).toEqual([kind, exact[encoding](text)]);
  });

  test('counts what looks like a special token as text', async () => {
    const counter = await loadTokenCounter(encoding);
    for (const text of [
      '<|endoftext|>',
      '<|im_start|>system<|im_end|>',
      'a <|endofprompt|> b',
      '<|start|>user<|message|>',
    ])
      expect(counter.count(text)).toBeGreaterThan(3);
  });

  test('counts a long run a little higher than the tokenizer, never lower', async () => {
    const counter = await loadTokenCounter(encoding);
    fc.assert(
      fc.property(
        fc.constantFrom(
          'abcdefghij',
          'etaoinshrdlu',
          'ab',
          'éàüß',
          'ACGT',
          '-=_*',
          '.!',
          '渡轮每天开出',
          'เรือข้ามฟาก',
          '𝕳𝖊𝖑😀',
        ),
        fc.array(fc.nat(11), { minLength: 200, maxLength: 900 }),
        (alphabet, picks) => {
          const letters = Array.from(alphabet);
          const text = picks.map((pick) => letters[pick % letters.length]).join('');
          const whole = exact[encoding](text);
          expect(counter.count(text)).toBeGreaterThanOrEqual(whole);
          expect(counter.count(text)).toBeLessThanOrEqual(whole * 1.05 + 12);
        },
      ),
      { numRuns: 60, endOnFailure: true },
    );
  });
});

describe('the counter of the embedded decoder', () => {
  test('counts as the decoder reads', async () => {
    const counter = await loadTokenCounter('smollm2');
    expect(counter).toMatchObject({ name: 'smollm2', exact: true });
    const decoder = await Decoder.load();
    for (const text of ['On her deck 28 cars fit.', 'naïve café 日本 1,234', '<|im_end|>', ''])
      expect(counter.count(text)).toBe((await decoder.encode(text)).length);
    await decoder.close();
  });
});

describe('the estimate', () => {
  test.each(Object.entries(texts))('%s: not below the tokenizers of OpenAI', async (_, text) => {
    const counter = await loadTokenCounter();
    expect(counter.count(text)).toBeGreaterThanOrEqual(
      Math.max(exact.o200k_base(text), exact.cl100k_base(text)),
    );
  });

  test('is not far above them on English prose', async () => {
    const counter = await loadTokenCounter();
    expect(counter.count(texts.English!)).toBeLessThan(1.5 * exact.o200k_base(texts.English!));
  });

  test('the parts of a text, cut at spaces, never count less than the whole', async () => {
    const counter = await loadTokenCounter();
    const words = fc.array(
      fc.string({ unit: 'grapheme', maxLength: 12 }).map((text) => text.replaceAll(/\s/g, '')),
      {
        maxLength: 8,
      },
    );
    fc.assert(
      fc.property(words, (parts) => {
        const given = parts.filter((part) => part !== '');
        expect(given.reduce((sum, part) => sum + counter.count(part), 0)).toBeGreaterThanOrEqual(
          counter.count(given.join(' ')),
        );
      }),
      { numRuns: 1_000 },
    );
  });
});

// Quadratic time would take hours here.
test.each([
  ['letters', 'a'.repeat(1 << 20)],
  ['accents', '\u0301'.repeat(1 << 20)],
  ['accents and marks', '\u0301!'.repeat(1 << 19)],
  ['dashes', '-'.repeat(1 << 20)],
  ['spaces', ' '.repeat(1 << 20)],
  ['line breaks', '\n'.repeat(1 << 20)],
  ['digits', '7'.repeat(1 << 20)],
  ['Thai', 'เรือ'.repeat(1 << 18)],
  ['emoji', '😀'.repeat(1 << 19)],
  ['lone surrogates', '\ud83d'.repeat(1 << 18)],
])('1 MB of %s is counted in linear time', async (_, text) => {
  for (const model of ['o200k_base', 'cl100k_base', undefined])
    expect((await loadTokenCounter(model)).count(text)).toBeGreaterThan(0);
});
