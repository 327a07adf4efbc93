import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { decoderSummaries } from '../../../compressors/tcra/decoder-summaries.js';
import { queryClass } from '../../../compressors/tcra/query-class.js';
import { SummaryGuard } from '../../../compressors/tcra/summary-guard.js';
import type { Decoder } from '../../../models/decoder/decoder.js';
import { pythonWith } from '../../python-with.js';

const python = pythonWith('numpy', 'tokenizers', 'gguf');

const QUESTION = 'Who built the “Alder”, and when?';
const TITLE = 'MV Alder';
const TEXT =
  'In later years, the Alder (a car ferry) was built by Dunmore & Sons, who had built two ships before, in 1987, and was named after a tree. Her crew lives in the old port.';

const SCRIPT = `
import json, sys
from data import query_terms
from summary_data import prompt_of, shortened, shown
question, title, text = json.loads(sys.stdin.read())
first = text[: text.index(" Her crew")]
print(json.dumps([shown() + prompt_of(question, title, text), shortened(first, ["Dunmore & Sons"], set(query_terms(question)), 12)]))
`;

test.skipIf(python === undefined)(
  'summaries are trained on the prompt that is sent, to say what the guard lets pass',
  async () => {
    const [prompt, summary] = JSON.parse(
      execFileSync(python!, ['-c', SCRIPT], {
        cwd: fileURLToPath(new URL('../../../training', import.meta.url)),
        input: JSON.stringify([QUESTION, TITLE, TEXT]),
        encoding: 'utf8',
      }),
    ) as [string, string];
    const sent: unknown[] = [];
    const generate = (request: unknown) => {
      sent.push(request);
      return { result: Promise.resolve({ text: '', finishReason: 'stop' }) };
    };
    const writer = decoderSummaries({ decoder: { model: 'recorder', generate } as unknown as Decoder });
    const task = { query: queryClass(QUESTION), title: TITLE, text: TEXT, words: 12 };
    await writer.generate(task, new AbortController().signal);
    expect(sent).toEqual([{ prompt }]);
    expect(summary).toContain('Dunmore & Sons');
    expect(summary.length).toBeLessThan(100);
    expect(
      new SummaryGuard([TEXT.slice(0, TEXT.indexOf(' Her crew'))]).verdict(summary).fault,
    ).toBeUndefined();
  },
);
