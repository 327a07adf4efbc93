import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { Session, type ModelTensors } from '../../models/session.js';
import { fixtures } from './tiny-model.js';

const graph = join(fixtures, 'tiny', 'model.onnx');

function feeds(...ids: number[]): ModelTensors {
  const dims = [1, ids.length];
  return {
    input_ids: { data: BigInt64Array.from(ids, BigInt), dims },
    attention_mask: { data: new BigInt64Array(ids.length).fill(1n), dims },
    not_an_input: { data: new Float32Array(1), dims: [1] },
  };
}

describe('a session', () => {
  test('runs a graph for each input, in order, the same alone as among others', async () => {
    const session = await Session.open(graph, { warmUp: feeds(2, 3) });
    try {
      expect(session.inputs).toEqual(['input_ids', 'attention_mask']);
      const inputs = [feeds(2, 9, 3), feeds(2, 3), feeds(2, 9, 10, 11, 3)];
      const together = await session.run(inputs);
      expect(together.map(({ last_hidden_state }) => last_hidden_state!.dims)).toEqual([
        [1, 3, 16],
        [1, 2, 16],
        [1, 5, 16],
      ]);
      for (const [index, input] of inputs.entries()) {
        const [alone] = await session.run([input]);
        expect(alone!.last_hidden_state!.data).toEqual(together[index]!.last_hidden_state!.data);
      }
      expect(session.memory.fileBytes).toBeGreaterThan(7_000);
    } finally {
      await session.close();
    }
  });

  test('is shared: closed by one user it goes on for another, and closed by all it is no more', async () => {
    const [first, second] = await Promise.all([Session.open(graph), Session.open(graph)]);
    await first.close();
    await first.close();
    await expect(first.run([feeds(2, 3)])).rejects.toMatchObject({ code: 'inference' });
    expect(await second.run([feeds(2, 3)])).toHaveLength(1);
    await second.close();
    const again = await Session.open(graph);
    expect(await again.run([feeds(2, 3)])).toHaveLength(1);
    await again.close();
  });

  test('turns what ONNX Runtime throws into errors that name the file', async () => {
    const session = await Session.open(graph);
    try {
      await expect(session.run([{ input_ids: feeds(2, 3).input_ids! }])).rejects.toMatchObject({
        code: 'inference',
        message: expect.stringContaining('attention_mask') as string,
      });
      await expect(session.run([feeds(2, 5_000, 3)])).rejects.toThrow(graph);
      expect(await session.run([feeds(2, 3)])).toHaveLength(1);
    } finally {
      await session.close();
    }
  });

  test('refuses what is no graph, and can be opened once it is one', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ragpress-session-'));
    const path = join(folder, 'model.onnx');
    try {
      writeFileSync(path, 'not a graph');
      await expect(Session.open(path)).rejects.toMatchObject({ code: 'inference', model: path });
      await expect(Session.open(join(folder, 'none.onnx'))).rejects.toMatchObject({ code: 'inference' });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('an aborted run does not begin', async () => {
    const session = await Session.open(graph);
    try {
      await expect(
        session.run([feeds(2, 3)], { signal: AbortSignal.abort(new Error('enough')) }),
      ).rejects.toThrow('enough');
    } finally {
      await session.close();
    }
  });

  test('0 threads are a mistake of configuration', async () => {
    await expect(Session.open(graph, { threads: 0 })).rejects.toThrow(/session\.threads/);
  });

  test.each(['', 'await session.close();'])('keeps no process alive (%j)', async (ending) => {
    const built = new URL('../../dist/models/session.js', import.meta.url).href;
    const script = `import { Session } from ${JSON.stringify(built)};
      const session = await Session.open(${JSON.stringify(graph)});
      const dims = [1, 2];
      await session.run([{ input_ids: { data: new BigInt64Array(2), dims }, attention_mask: { data: new BigInt64Array(2), dims } }]);
      ${ending}
      console.log('done');`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
      timeout: 20_000,
    });
    expect(stdout).toBe('done\n');
  });
});
