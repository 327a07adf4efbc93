import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, describe, expect, test } from 'vitest';
import { chatTemplateOf } from '../../../models/decoder/chat-template.js';
import { openCheckpoint } from '../../../models/decoder/checkpoint.js';
import { DecoderEngine } from '../../../models/decoder/decoder-engine.js';
import { Decoder } from '../../../models/decoder/decoder.js';
import type { ChatMessage } from '../../../models/decoder/generation.js';
import { KvSlots } from '../../../models/decoder/kv-slots.js';
import { NO_ANSWER, readerMessages } from '../../../models/decoder/reader-prompt.js';
import { ModelRegistry } from '../../../models/registry.js';
import { Tokenizer } from '../../../models/tokenizer.js';
import { checkpointFolder } from './checkpoint-folder.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));

interface Case {
  readonly messages: ChatMessage[];
  readonly ids: number[];
  readonly greedy: number[];
  readonly text: string;
  readonly logits: number[];
}

// What PyTorch computes from the same weights (training/reference.py).
const { sampled, cases } = JSON.parse(readFileSync(checkpointFolder('smollm2.json'), 'utf8')) as {
  sampled: number;
  cases: Case[];
};

describe('the embedded decoder beside PyTorch', async () => {
  const { folder } = await new ModelRegistry().resolve('smollm2');
  const checkpoint = await openCheckpoint(folder);
  const tokenizer = new Tokenizer(checkpoint.tokenizer.json, checkpoint.tokenizer.config);
  const template = chatTemplateOf(checkpoint, tokenizer);
  const engine = await DecoderEngine.open(checkpoint, { threads: 2, precision: 'float32' });
  await checkpoint.close();
  afterAll(() => engine.close());

  test.each(cases)('$messages.0.content', async ({ messages, ids, greedy, text, logits }) => {
    expect(template.encode(messages)).toEqual(ids);
    const past = new KvSlots(engine.shape);
    const said: number[] = [];
    for (let rows = ids; said.length < greedy.length + 1;) {
      const positions = rows.map((_, i) => past.length + i);
      const { hidden, kv } = await engine.step({ rows: engine.embed(rows), positions, past });
      past.append(kv, rows.length);
      const next = await engine.logits(hidden.slice(-engine.shape.width));
      if (said.length === 0)
        logits.forEach((logit, i) => {
          expect(Math.abs(next[i * sampled]! - logit)).toBeLessThan(1e-2);
        });
      said.push(next.indexOf(Math.max(...next)));
      rows = [said.at(-1)!];
    }
    expect(said.slice(0, greedy.length)).toEqual(greedy);
    expect(tokenizer.decode(greedy)).toBe(text);
  });
});

describe('the reader', async () => {
  const decoder = await Decoder.load();
  afterAll(() => decoder.close());

  const context =
    '[1] MV Corran\nThe ferry Corran was built in 2001 and carries 28 cars.\n\n' +
    '[2] MV Rowan\nThe ferry Rowan was launched in 1987 at Kelby and is painted green.';

  test.each([
    ['When was the Rowan launched?', /1987/],
    ['How many cars does the Corran carry?', /28/],
  ])('%s', async (question, answer) => {
    const { text, promptTokens, finishReason } = await decoder.generate({
      messages: readerMessages(question, context),
    }).result;
    expect(text).toMatch(answer);
    expect(text.length).toBeLessThan(40);
    expect(finishReason).toBe('stop');
    expect(promptTokens).toBeLessThan(150);
  });

  test('an abort in mid-prompt ends it long before it is read', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const began = performance.now();
    const { result } = decoder.generate(
      { prompt: 'A long story, told again and again. '.repeat(800) },
      { signal: controller.signal },
    );
    setTimeout(() => {
      controller.abort(reason);
    }, 200);
    await expect(result).rejects.toBe(reason);
    expect(performance.now() - began).toBeLessThan(2_000);
    const next = await decoder.generate({ prompt: 'Once upon a' }, { maxTokens: 2 }).result;
    expect(next.milliseconds.total).toBeLessThan(2_000);
  });

  test('an abort in mid-stream', async () => {
    const controller = new AbortController();
    const generation = decoder.generate(
      { prompt: 'Once upon a time' },
      { maxTokens: 2_000, signal: controller.signal },
    );
    let pieces = 0;
    const read = (async () => {
      for await (const piece of generation) if (piece !== '' && ++pieces === 3) controller.abort();
    })();
    await expect(read).rejects.toMatchObject({ name: 'AbortError' });
    expect(pieces).toBeLessThan(20);
  });

  test('a process ends by itself once it is closed, and where it is not', async () => {
    for (const end of ['await decoder.close();', '']) {
      const script = `
        import { Decoder } from 'ragpress/models';
        const decoder = await Decoder.load();
        await decoder.generate({ prompt: 'Once' }, { maxTokens: 1 }).result;
        ${end}
        console.log('done');`;
      const ended = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
        cwd: root,
      });
      expect(ended).toEqual({ stdout: 'done\n', stderr: '' });
    }
  });

  test('a process may end in the midst of it', async () => {
    const script = `
      import { Decoder } from 'ragpress/models';
      const decoder = await Decoder.load();
      decoder.generate({ prompt: 'A long story. '.repeat(500) });
      setTimeout(() => process.exit(7), 300);`;
    const ended = promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { cwd: root });
    await expect(ended).rejects.toMatchObject({ code: 7, stderr: '' });
  });

  test('says so where the documents do not', async () => {
    const messages = readerMessages('Who won the Indianapolis 500 in 1964?', context);
    expect((await decoder.generate({ messages }).result).text).toBe(NO_ANSWER);
  });
});
