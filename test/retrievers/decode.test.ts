import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeText } from '../../retrievers/decode.js';

const utf8 = (text: string) => Buffer.from(text, 'utf8');
const utf16le = (text: string) => Buffer.from(text, 'utf16le');
const utf16be = (text: string) => utf16le(text).swap16();
const bytes = (...parts: (string | number[])[]) =>
  Buffer.concat(
    parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : Buffer.from(part))),
  );

const FERRY = [0x83, 0x74, 0x83, 0x46, 0x83, 0x8a, 0x81, 0x5b]; // フェリー in Shift_JIS
const LUNCHUAN = [0xb6, 0xc9, 0xc2, 0xd6]; // 渡轮 in GBK

const html = (charset: string, ...content: (string | number[])[]) =>
  bytes(
    `<!doctype html><html><head><meta charset="${charset}"><title>`,
    ...content,
    '</title></head></html>',
  );

describe('a byte order mark decides, and is no part of the text', () => {
  test.each([
    ['utf-8', bytes([0xef, 0xbb, 0xbf], [...utf8('Größe 渡轮')])],
    ['utf-16le', bytes([0xff, 0xfe], [...utf16le('Größe 渡轮')])],
    ['utf-16be', bytes([0xfe, 0xff], [...utf16be('Größe 渡轮')])],
  ])('%s', (encoding, given) => {
    expect(decodeText(given)).toEqual({ text: 'Größe 渡轮', encoding });
    expect(decodeText(given, { contentType: 'text/html; charset=shift_jis' }).encoding).toBe(encoding);
  });

  test('alone it is an empty text', () => {
    expect(decodeText(bytes([0xef, 0xbb, 0xbf]))).toEqual({ text: '', encoding: 'utf-8' });
    expect(decodeText(bytes([0xff, 0xfe]))).toEqual({ text: '', encoding: 'utf-16le' });
    expect(decodeText(bytes())).toEqual({ text: '', encoding: 'utf-8' });
  });
});

describe('without a mark', () => {
  test('any text is itself in UTF-8, and its lone surrogates are U+FFFD', () => {
    // Text with NUL is left to the tests below, and what begins with a mark to those above.
    const anyText = fc
      .string({ unit: 'binary', maxLength: 80 })
      .filter((text) => !text.includes('\0') && !text.startsWith('\ufeff'));
    fc.assert(
      fc.property(anyText, (text) => {
        expect(decodeText(utf8(text))).toEqual({ text: text.toWellFormed(), encoding: 'utf-8' });
      }),
      { numRuns: 300 },
    );
  });

  test.each(['utf-16le', 'utf-16be'])('%s is known by its zero bytes', (encoding) => {
    for (const text of ['<html lang="de"><title>Fähre</title>', 'The Rowan was built in 1987.']) {
      const given = encoding === 'utf-16le' ? utf16le(text) : utf16be(text);
      expect(decodeText(given)).toEqual({ text, encoding });
    }
  });

  test('what is neither UTF-8 nor declared is windows-1252', () => {
    expect(decodeText(bytes('caf', [0xe9], ' ', [0x80], '7 ', [0x93], 'x', [0x94], ' ', [0x96]))).toEqual({
      text: 'café €7 “x” –',
      encoding: 'windows-1252',
    });
  });

  test('windows-1252 has a character for every byte', () => {
    const all = Uint8Array.from({ length: 255 }, (_, index) => index + 1);
    const { text, encoding } = decodeText(all);
    expect(encoding).toBe('windows-1252');
    expect(text).toHaveLength(255);
    expect(new Set(text).size).toBe(255);
    expect(text).not.toContain('\ufffd');
    expect(text.slice(0x7f, 0x9f)).toBe('€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ');
  });
});

describe('a page that declares its encoding', () => {
  test.each([
    ['shift_jis', html('Shift_JIS', FERRY), 'フェリー'],
    ['shift_jis by another name', html('x-sjis', FERRY), 'フェリー'],
    ['gbk', html('gb2312', LUNCHUAN), '渡轮'],
    ['big5', html('Big5', [0xb4, 0xe7, 0xbd, 0xfc]), '渡輪'],
    ['euc-kr', html('euc-kr', [0xbf, 0xa9, 0xb0, 0xb4, 0xbc, 0xb1]), '여객선'],
    ['windows-1251', html('windows-1251', [0xcf, 0xf0, 0xe8, 0xe2, 0xe5, 0xf2]), 'Привет'],
    ['windows-1252', html('iso-8859-1', 'caf', [0xe9, 0x20, 0x80]), 'café €'],
    ['koi8-r', html('KOI8-R', [0xf0, 0xd2, 0xc9]), 'При'],
  ])('%s', (name, given, title) => {
    const { text, encoding } = decodeText(given);
    expect(encoding).toBe(name.split(' ')[0]);
    expect(text).toContain(`<title>${title}</title>`);
  });

  test.each([
    ['http-equiv', '<meta http-equiv="Content-Type" content="text/html; charset=Shift_JIS">'],
    ['single quotes', "<meta charset='Shift_JIS'>"],
    ['no quotes', '<meta charset=Shift_JIS/>'],
    ['capitals and spaces', '<META  CHARSET = "shift_jis" >'],
    ['an XML declaration', '<?xml version="1.0" encoding="Shift_JIS"?>\n<rss>'],
    ['other attributes before', '<meta name="x" id=y charset="Shift_JIS">'],
  ])('by %s', (_, declaration) => {
    expect(decodeText(bytes(declaration, FERRY))).toEqual({
      text: `${declaration}フェリー`,
      encoding: 'shift_jis',
    });
  });

  test('in ISO-2022-JP, which is all ASCII bytes', () => {
    const { text, encoding } = decodeText(
      html('iso-2022-jp', [0x1b, 0x24, 0x42, 0x25, 0x55, 0x1b, 0x28, 0x42]),
    );
    expect(encoding).toBe('iso-2022-jp');
    expect(text).toContain('<title>フ</title>');
  });

  test.each([
    ['UTF-8 though it says windows-1252', html('windows-1252', [...utf8('Größe')]), 'Größe', 'utf-8'],
    ['UTF-8 though it says Shift_JIS', html('Shift_JIS', [...utf8('渡轮')]), '渡轮', 'utf-8'],
    [
      'windows-1252 though it says UTF-8',
      html('utf-8', 'caf', [0xe9], ' na', [0xef], 've'),
      'café naïve',
      'windows-1252',
    ],
    ['windows-1252 though it says UTF-16', html('utf-16', 'caf', [0xe9]), 'café', 'windows-1252'],
    ['ASCII though it says UTF-16', html('utf-16le', 'cafe'), 'cafe', 'utf-8'],
    ['of an encoding that there is not', html('klingon-1', 'caf', [0xe9]), 'café', 'windows-1252'],
  ])('%s', (_, given, title, encoding) => {
    expect(decodeText(given)).toEqual({
      text: expect.stringContaining(`<title>${title}<`) as string,
      encoding,
    });
  });

  test('further down than browsers look does not count', () => {
    const late = bytes(' '.repeat(1_100), '<meta charset="Shift_JIS">', FERRY);
    expect(decodeText(late).encoding).toBe('windows-1252');
  });

  test('in a view of a larger buffer declares nothing from outside of it', () => {
    const whole = bytes('<meta charset="Shift_JIS">', 'caf', [0xe9], FERRY);
    const view = new Uint8Array(whole.buffer, whole.byteOffset + 26, 4);
    expect(decodeText(view)).toEqual({ text: 'café', encoding: 'windows-1252' });
  });
});

describe('what the server says', () => {
  test.each([
    'text/html; charset=Shift_JIS',
    'text/html;charset="shift_jis"',
    'text/html; Charset = sjis; q=1',
  ])('goes before what the page says: %s', (contentType) => {
    const { text, encoding } = decodeText(html('gbk', FERRY), { contentType });
    expect(encoding).toBe('shift_jis');
    expect(text).toContain('フェリー');
  });

  test.each([
    ['no charset', 'text/html', html('gbk', LUNCHUAN), 'gbk'],
    ['a charset that there is not', 'text/html; charset=klingon-1', html('gbk', LUNCHUAN), 'gbk'],
    ['UTF-8 where it is not', 'text/html; charset=utf-8', html('gbk', LUNCHUAN), 'gbk'],
    ['UTF-8 where nothing is declared', 'text/plain; charset=utf-8', bytes('caf', [0xe9]), 'windows-1252'],
    ['UTF-8', 'text/html; charset=utf-8', html('gbk', [...utf8('渡轮')]), 'utf-8'],
  ])('%s', (_, contentType, given, encoding) => {
    expect(decodeText(given, { contentType }).encoding).toBe(encoding);
  });
});

describe('damage', () => {
  test.each([
    [
      'a bad byte',
      bytes([...utf8('Die Größe der Fähre – übrigens')], [0xff], ' ok'),
      'Die Größe der Fähre – übrigens\ufffd ok',
    ],
    [
      'an end that is cut off',
      utf8('Die Größe der Fähre: 4 €').subarray(0, -1),
      'Die Größe der Fähre: 4 \ufffd',
    ],
    ['a stray NUL', utf8('Größe\0 der Fähre'), 'Größe\0 der Fähre'],
  ])('%s leaves UTF-8 what it is', (_, given, text) => {
    expect(decodeText(given)).toEqual({ text, encoding: 'utf-8' });
    const page = Buffer.concat([bytes('<meta charset="utf-8">'), given]);
    expect(decodeText(page)).toEqual({ text: `<meta charset="utf-8">${text}`, encoding: 'utf-8' });
    const contentType = 'text/html; charset=utf-8';
    expect(decodeText(given, { contentType })).toEqual({ text, encoding: 'utf-8' });
  });

  test('bytes that do not fit the declared encoding become U+FFFD, and the rest is there', () => {
    const { text } = decodeText(html('gbk', LUNCHUAN, [0xb6], ' ok', LUNCHUAN));
    expect(text).toContain('<title>渡轮\ufffd ok渡轮</title>');
  });

  test('any bytes are some text, the same each time, in an encoding that can be named', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (given) => {
        const decoded = decodeText(given);
        expect(() => new TextDecoder(decoded.encoding)).not.toThrow();
        expect(decoded.text.isWellFormed()).toBe(true);
        expect(decodeText(Uint8Array.from(given))).toEqual(decoded);
      }),
      { numRuns: 500 },
    );
  });
});
