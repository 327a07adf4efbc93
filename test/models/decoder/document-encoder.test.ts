import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Decoder } from '../../../models/decoder/decoder.js';
import { DocumentEncoder } from '../../../models/decoder/document-encoder.js';
import { Projector } from '../../../models/decoder/projector.js';
import { Embedder } from '../../../models/encoder/embedder.js';
import { ModelRegistry } from '../../../models/registry.js';
import { pythonWith } from '../../python-with.js';
import { fixtures, hasWeights } from '../tiny-model.js';
import { checkpointFolder } from './checkpoint-folder.js';
import { projectorFolder, writeTensors, type ProjectorShape } from './projector-folder.js';

let reader: Decoder;
let embedder: Embedder;
let shape: ProjectorShape;

beforeAll(async () => {
  reader = await Decoder.load({ folder: checkpointFolder('llama') });
  embedder = await Embedder.load({ model: 'tiny', registry: new ModelRegistry({ folder: fixtures }) });
  shape = {
    inputs: embedder.dimensions,
    hidden: 24,
    width: reader.width,
    norm: await reader.embeddingNorm(),
  };
});
afterAll(async () => {
  await reader.close();
  await embedder.close();
});

describe('a projector', () => {
  test('is two layers with the exact GELU between them', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ragpress-'));
    writeTensors(join(folder, 'any.safetensors'), {
      'projector.projector.0.weight': { shape: [3, 2], data: Float32Array.of(1, 0, 0, 1, -1, 0.5) },
      'projector.projector.0.bias': { shape: [3], data: Float32Array.of(0, 0.5, 0) },
      'projector.projector.2.weight': { shape: [3, 3], data: Float32Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1) },
      'projector.projector.2.bias': { shape: [3], data: Float32Array.of(0, 0, 10) },
    });
    const projector = await Projector.load({ folder });
    expect({ inputs: projector.inputs, width: projector.width }).toEqual({ inputs: 2, width: 3 });
    const out = projector.project(Float32Array.of(1, 0.5));
    // x Φ(x) of 1, 1 and -0.75, by tables of Φ to ten places.
    const wanted = [0.8413447461, 0.8413447461, 10 - 0.75 * 0.2266273524];
    out.forEach((value, i) => {
      expect(value).toBeCloseTo(wanted[i]!, 5);
    });
  });

  test.each([
    ['without one', {}, /has no projector.projector.0.weight/],
    [
      'whose layers do not follow on each other',
      {
        'projector.projector.0.weight': { shape: [3, 2], data: new Float32Array(6) },
        'projector.projector.0.bias': { shape: [3], data: new Float32Array(3) },
        'projector.projector.2.weight': { shape: [4, 5], data: new Float32Array(20) },
        'projector.projector.2.bias': { shape: [4], data: new Float32Array(4) },
      },
      /\[4, 5\].*\[4, 3\]/,
    ],
  ])('a file %s is refused', async (_, tensors, message) => {
    const folder = mkdtempSync(join(tmpdir(), 'ragpress-'));
    writeTensors(join(folder, 'projector.safetensors'), tensors);
    await expect(Projector.load({ folder })).rejects.toMatchObject({
      code: 'damaged',
      message: expect.stringMatching(message) as string,
    });
  });

  test('that is not there is missed, by its folder and by its name', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ragpress-'));
    await expect(Projector.load({ folder })).rejects.toMatchObject({ code: 'missing' });
    await expect(Projector.load({ model: 'no-projector' })).rejects.toMatchObject({ code: 'missing' });
    await expect(
      Projector.load({ model: 'tiny', registry: new ModelRegistry({ folder: fixtures }) }),
    ).rejects.toThrow(/kind embedder/);
  });
});

describe('documents as embeddings', () => {
  const document = { title: 'Ferry', text: 'the winter fare of a bicycle' };

  test('are the projected embedding of title and text', async () => {
    const folder = projectorFolder(shape);
    const encoder = await DocumentEncoder.load({ reader, folder, embedder });
    const [row, untitled] = await encoder.encode([document, { text: document.text }]);
    const [embedding] = await embedder.embed([`${document.title}\n${document.text}`]);
    expect(row).toEqual((await Projector.load({ folder })).project(embedding!));
    expect(row!.length).toBe(reader.width);
    expect(untitled).not.toEqual(row);
    await encoder.close();
  });

  test('are read by the decoder, each as its own', async () => {
    const encoder = await DocumentEncoder.load({ reader, folder: projectorFolder(shape), embedder });
    const rows = await encoder.encode([document, { title: 'Harbour', text: 'cranes came later' }]);
    const answers = await Promise.all(
      rows.map(
        (row) =>
          reader.generate(
            {
              messages: [{ role: 'user', content: '\uE000' }],
              embeddings: { marker: '\uE000', rows: [row] },
            },
            { maxTokens: 12 },
          ).result,
      ),
    );
    expect(answers[0]!.text).not.toBe(answers[1]!.text);
  });

  test('of another width than the reader or the embedder are refused, with both', async () => {
    const load = (other: Partial<ProjectorShape>) =>
      DocumentEncoder.load({ reader, folder: projectorFolder({ ...shape, ...other }), embedder });
    await expect(load({ width: 48 })).rejects.toThrow(/48 numbers where .* reads 32/);
    await expect(load({ inputs: 20 })).rejects.toThrow(/20 numbers where tiny@1 gives 16/);
  });

  test.each([0.1, 1000, NaN])('%d times as long as a token’s are refused', async (times) => {
    const folder = projectorFolder({ ...shape, norm: times * shape.norm });
    await expect(DocumentEncoder.load({ reader, folder, embedder })).rejects.toMatchObject({
      code: 'damaged',
      message: expect.stringMatching(/of length .* where those of .* have/) as string,
    });
  });

  test.each([
    [{}, /documentEncoder.reader/],
    [{ reader: { model: 'x', width: 3 } }, /embeddingNorm/],
    [{ reader: { embeddingNorm: () => 1 }, model: 'a', folder: 'b' }, /not both/],
  ])('options %o are refused', async (options, message) => {
    await expect(DocumentEncoder.load(options as never)).rejects.toThrow(message);
  });
});

describe.skipIf(!hasWeights('xrag-projector'))('xrag-projector (skipped: its weights are not there)', () => {
  test('leads from minilm to smollm2', async () => {
    const smollm2 = await Decoder.load();
    const encoder = await DocumentEncoder.load({ reader: smollm2 });
    const [one, same, other] = await encoder.encode([
      { title: 'Harbour', text: 'The harbour was dug in 1850, and silts up.' },
      { title: 'Harbour', text: 'The harbour was dug in 1850, and silts up.' },
      { title: 'Chess', text: 'A rook moves along ranks and files.' },
    ]);
    expect(one!.length).toBe(smollm2.width);
    expect(same).toEqual(one);
    expect(other).not.toEqual(one);
    await encoder.close();
    await smollm2.close();
  }, 120_000);
});

const python = pythonWith('torch', 'safetensors');

// A checkpoint as Transformers saves one, of random numbers: the projector among a language model's tensors, in two files.
const CHECKPOINT = `
import sys, torch
from safetensors.torch import save_file
torch.manual_seed(3)
folder, kind = sys.argv[1:]
part = {"model.embed_tokens.weight": torch.randn(9, 8), "projector.projector.0.weight": torch.randn(12, 16), "projector.projector.0.bias": torch.randn(12)}
rest = {"lm_head.weight": torch.randn(9, 8), "projector.projector.2.weight": torch.randn(8, 12), "projector.projector.2.bias": torch.randn(8)}
for i, state in enumerate((part, rest)):
    state = {name: tensor.bfloat16() for name, tensor in state.items()}
    save_file(state, f"{folder}/model-{i}.safetensors") if kind == "safetensors" else torch.save(state, f"{folder}/pytorch_model-{i}.bin")
whole = {name.removeprefix("projector."): tensor.bfloat16() for name, tensor in (part | rest).items() if name.startswith("projector.")}
torch.save({"projector": whole}, f"{folder}/last.pt")
x = torch.nn.functional.normalize(torch.arange(16.0) - 5, dim=0)
a, b, c, d = (whole[f"projector.{name}"].float() for name in ("0.weight", "0.bias", "2.weight", "2.bias"))
print(((torch.nn.functional.gelu(x @ a.T + b)) @ c.T + d).tolist())
`;

describe.skipIf(!python)('checkpoints (skipped without PyTorch and safetensors: set RAGPRESS_PYTHON)', () => {
  const script = (name: string) => fileURLToPath(new URL(`../../../training/${name}`, import.meta.url));
  const run = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(python!, args, { encoding: 'utf8' });
    expect(status, stderr).toBe(0);
    return stdout;
  };

  test.each(['safetensors', 'bin', 'last.pt'])(
    '%s come as what PyTorch computes',
    async (kind) => {
      const folder = mkdtempSync(join(tmpdir(), 'ragpress-'));
      const wanted = JSON.parse(run('-c', CHECKPOINT, folder, kind)) as number[];
      const out = join(folder, 'out', 'converted');
      mkdirSync(join(folder, 'out'));
      if (kind === 'last.pt')
        run(script('export_xrag.py'), '--checkpoint', join(folder, kind), '--out', out, '--type', 'float32');
      else run(script('convert_xrag.py'), folder, '--out', out, '--type', 'float32');
      expect(readdirSync(out).sort()).toEqual(['model.json', 'projector.safetensors']);
      const registry = new ModelRegistry({ folder: join(folder, 'out') });
      const projector = await Projector.load({ model: 'converted', registry });
      expect(projector.model).toBe('converted@1');
      const input = Float32Array.from({ length: 16 }, (_, i) => i - 5);
      const length = Math.hypot(...input);
      const out1 = projector.project(input.map((value) => value / length));
      out1.forEach((value, i) => {
        expect(value).toBeCloseTo(wanted[i]!, 4);
      });
    },
    120_000,
  );

  test('without a projector are refused', () => {
    const folder = mkdtempSync(join(tmpdir(), 'ragpress-'));
    writeTensors(join(folder, 'model.safetensors'), {
      'model.norm.weight': { shape: [2], data: new Float32Array(2) },
    });
    const { status, stderr } = spawnSync(
      python!,
      [script('convert_xrag.py'), folder, '--out', join(folder, 'out')],
      { encoding: 'utf8' },
    );
    expect(status).not.toBe(0);
    expect(stderr).toMatch(/has no projector.0.weight/);
  }, 120_000);
});

test('a manifest whose hash is another is refused', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ragpress-'));
  mkdirSync(join(folder, 'xrag-projector'));
  const weights = readFileSync(join(projectorFolder(shape), 'projector.safetensors'));
  writeFileSync(join(folder, 'xrag-projector', 'projector.safetensors'), weights);
  const manifest = {
    name: 'xrag-projector',
    version: '1',
    kind: 'projector',
    license: 'Apache-2.0',
    source: 'a test',
    files: [{ path: 'projector.safetensors', size: weights.length, sha256: '0'.repeat(64) }],
  };
  writeFileSync(join(folder, 'xrag-projector', 'model.json'), JSON.stringify(manifest));
  await expect(
    DocumentEncoder.load({ reader, registry: new ModelRegistry({ folder }), embedder }),
  ).rejects.toMatchObject({ code: 'damaged' });
});
