export interface DecodedText {
  /** Without a byte order mark. */
  readonly text: string;
  /** Name of the encoding as the WHATWG Encoding Standard has it, e.g. `utf-8`, `windows-1252`, `shift_jis`. */
  readonly encoding: string;
}

export interface DecodeOptions {
  /** The `Content-Type` header that came with the bytes. */
  readonly contentType?: string;
}

/** How far into a page its declaration is looked for (HTML Living Standard §13.2.3.2). */
const PRESCAN = 1_024;

/** No byte is invalid in it, and what is neither declared nor UTF-8 is mostly this. */
const FALLBACK = 'windows-1252';

/**
 * Bytes of a page or file as text. In order: a byte order mark; what the server says; UTF-8 where the bytes are valid
 * UTF-8 with characters beyond ASCII, whatever the page declares, for other encodings hardly ever look like it and wrong
 * declarations are common; what the page declares (`meta`, an XML declaration); UTF-16 by its pattern of zero bytes;
 * UTF-8 that is damaged in a few places; windows-1252, which no byte is invalid in. Bytes that do not fit become U+FFFD.
 */
export function decodeText(bytes: Uint8Array, { contentType }: DecodeOptions = {}): DecodedText {
  const marked = markedEncoding(bytes);
  if (marked !== undefined) return decode(bytes, marked);
  const sent = supported(/charset\s*=\s*["']?([^\s"';]+)/i.exec(contentType ?? '')?.[1]);
  if (sent !== undefined && (sent !== 'utf-8' || isUtf8(bytes))) return decode(bytes, sent);
  if (isUtf8(bytes) && !looksIso2022(bytes)) return decode(bytes, 'utf-8');
  return decode(
    bytes,
    declaredEncoding(bytes) ?? utf16(bytes) ?? (isDamagedUtf8(bytes) ? 'utf-8' : FALLBACK),
  );
}

function decode(bytes: Uint8Array, encoding: string): DecodedText {
  const text = new TextDecoder(encoding).decode(bytes);
  return { text: encoding === 'windows-1252' ? repaired(text) : text, encoding };
}

/** What windows-1252 has from 0x80 to 0x9f (WHATWG Encoding Standard, index windows-1252). */
const WINDOWS_1252 = '€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ';

/** Node since 20.18.3 reads windows-1252 as Latin-1 (nodejs/node#56542). */
function repaired(text: string): string {
  return text.replace(/[\u0080-\u009f]/g, (control) => WINDOWS_1252[control.charCodeAt(0) - 0x80]!);
}

function markedEncoding(bytes: Uint8Array): string | undefined {
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) return 'utf-8';
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return 'utf-16le';
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return 'utf-16be';
  return undefined;
}

function isUtf8(bytes: Uint8Array): boolean {
  if (bytes.includes(0) && utf16(bytes) !== undefined) return false;
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

/** Whether more is UTF-8 than not, as where a page was cut within a character, or a part of it came from elsewhere. */
function isDamagedUtf8(bytes: Uint8Array): boolean {
  const text = new TextDecoder().decode(bytes);
  let whole = 0;
  let damaged = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0xfffd) damaged++;
    else if (code > 127) whole++;
  }
  return whole > 2 * damaged;
}

/** ISO-2022-JP is all ASCII bytes, with escapes between its character sets. */
function looksIso2022(bytes: Uint8Array): boolean {
  return bytes.includes(0x1b) && declaredEncoding(bytes) === 'iso-2022-jp';
}

function declaredEncoding(bytes: Uint8Array): string | undefined {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(PRESCAN, bytes.length)).toString(
    'latin1',
  );
  const label =
    /^\s*<\?xml[^>]*\bencoding\s*=\s*["']([^"']+)/i.exec(head)?.[1] ??
    /<meta\b[^>]*?\bcharset\s*=\s*["']?\s*([^\s"'/>;]+)/i.exec(head)?.[1];
  const encoding = supported(label);
  // The bytes are no UTF-8, and an ASCII-compatible declaration cannot have been read from UTF-16.
  return encoding === 'utf-8' || encoding?.startsWith('utf-16') ? undefined : encoding;
}

function supported(label: string | undefined): string | undefined {
  if (label === undefined) return undefined;
  try {
    return new TextDecoder(label).encoding;
  } catch {
    return undefined;
  }
}

/** UTF-16 without a mark: every other byte of ASCII text is zero. */
function utf16(bytes: Uint8Array): string | undefined {
  const sample = bytes.subarray(0, PRESCAN);
  const zeros = [0, 0];
  for (const [index, byte] of sample.entries()) if (byte === 0) zeros[index % 2]!++;
  const half = sample.length / 2;
  if (zeros[1]! > 0.4 * half && zeros[0]! < 0.05 * half) return 'utf-16le';
  if (zeros[0]! > 0.4 * half && zeros[1]! < 0.05 * half) return 'utf-16be';
  return undefined;
}
