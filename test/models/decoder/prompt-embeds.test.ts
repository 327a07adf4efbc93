import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { promptEmbeds } from '../../../models/decoder/prompt-embeds.js';
import { pythonWith } from '../../python-with.js';

const rows = Float32Array.from([
  0,
  1,
  -2.5,
  1 / 3,
  65_504,
  -1e-7,
  3.14159,
  1e-3,
  2 ** -24,
  7,
  1.00390625,
  -0,
]);
const python = pythonWith('torch');

describe('a prompt for vLLM', () => {
  test('is the same each time', () => {
    expect(promptEmbeds(rows, 4)).toBe(promptEmbeds(rows.slice(), 4));
    expect(promptEmbeds(rows, 4)).not.toBe(promptEmbeds(rows, 3));
  });

  test('has each record at a multiple of 64 bytes, as it is', () => {
    const zip = Buffer.from(promptEmbeds(rows, 4), 'base64');
    expect(zip.subarray(0, 4).toString('latin1')).toBe('PK\x03\x04');
    const at = zip.indexOf(Buffer.from(rows.buffer));
    expect(at).toBeGreaterThan(0);
    expect(at % 64).toBe(0);
  });

  test.each([
    ['no rows', new Float32Array(), 4, 'float32', /rows/],
    ['half a row', rows, 5, 'float32', /rows of 5/],
    ['no width', rows, 0, 'float32', /width/],
    ['an unknown type', rows, 4, 'int8', /float32, float16, bfloat16/],
    ['what is no number', Float32Array.of(NaN), 1, 'float32', /float32 can hold/],
    ['what is too large', Float32Array.of(1e5), 1, 'float16', /float16 can hold/],
  ])('of %s is refused', (_, given, width, type, message) => {
    expect(() => promptEmbeds(given, width, type as 'float32')).toThrow(message);
  });
});

// Reads base64 from its input, as vLLM does, and says what it is; and what PyTorch makes of the same numbers.
const READ = `
import base64, io, json, sys, torch
given = json.load(sys.stdin)
tensor = torch.load(io.BytesIO(base64.b64decode(given["embeds"], validate=True)), weights_only=True)
own = torch.tensor(given["rows"]).view(given["shape"]).to(getattr(torch, given["type"]))
print(json.dumps([list(tensor.shape), str(tensor.dtype), torch.equal(tensor, own), tensor.is_contiguous()]))
`;

describe.skipIf(!python)('PyTorch (skipped without one: set RAGPRESS_PYTHON)', () => {
  test.each(['float32', 'float16', 'bfloat16'] as const)(
    'reads %s',
    (type) => {
      const input = JSON.stringify({
        embeds: promptEmbeds(rows, 4, type),
        rows: [...rows],
        shape: [3, 4],
        type,
      });
      const { stdout, stderr } = spawnSync(python!, ['-c', READ], { input, encoding: 'utf8' });
      expect(stderr).not.toMatch(/Error/);
      expect(JSON.parse(stdout)).toEqual([[3, 4], `torch.${type}`, true, true]);
    },
    120_000,
  );

  test('reads a prompt of many rows', () => {
    const many = Float32Array.from({ length: 700 * 576 }, (_, i) => Math.fround(Math.sin(i)));
    const input = JSON.stringify({
      embeds: promptEmbeds(many, 576),
      rows: [...many],
      shape: [700, 576],
      type: 'float32',
    });
    const { stdout } = spawnSync(python!, ['-c', READ], { input, encoding: 'utf8', maxBuffer: 1 << 24 });
    expect(JSON.parse(stdout)).toEqual([[700, 576], 'torch.float32', true, true]);
  }, 120_000);
});
