import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { spliceJson, type JsonPath } from '../../../middleware/requests/splice-json.js';

describe('spliceJson', () => {
  test('keeps every byte but the string', () => {
    const json =
      '{ "seed" : 9007199254740993, "n":1.0e+2,\t"a":["x", {"b":"old \\u00e9 \\"q\\""}],"z":"\\/" }\n';
    expect(spliceJson(json, [{ path: ['a', 1, 'b'], text: 'new "é"\n' }])).toBe(
      '{ "seed" : 9007199254740993, "n":1.0e+2,\t"a":["x", {"b":"new \\"é\\"\\n"}],"z":"\\/" }\n',
    );
  });

  test.each([
    ['{"ragpress":{"a":[1,{"b":","}]},"x":1}', '{"x":1}'],
    ['{"x":1, "ragpress": "y"}', '{"x":1}'],
    ['{"x":1,"ragpress":true,"y":2}', '{"x":1,"y":2}'],
    ['{"ragpress":null}', '{}'],
    ['{"x":{"ragpress":1},"y":["ragpress"]}', '{"x":{"ragpress":1},"y":["ragpress"]}'],
  ])('takes a member out of the root: %s', (json, expected) => {
    expect(spliceJson(json, [], 'ragpress')).toBe(expected);
  });

  test('of members with one name the last counts, as for JSON.parse', () => {
    const json = '{"m":[{"c":"first"},{"c":"1"}],"m":[{"c":"second"}]}';
    const spliced = spliceJson(json, [{ path: ['m', 0, 'c'], text: 'new' }]);
    expect(JSON.parse(spliced)).toEqual({ m: [{ c: 'new' }] });
  });

  test('says so where the path leads to no string', () => {
    expect(() => spliceJson('{"a":1}', [{ path: ['a'], text: 'x' }])).toThrow('there is no string at a');
  });

  test('replaces any string of any document, and nothing else', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 5 }), fc.nat(), fc.string({ unit: 'binary' }), (json, pick, text) => {
        const value: unknown = JSON.parse(json);
        const paths = stringPaths(value);
        fc.pre(paths.length > 0);
        const path = paths[pick % paths.length]!;
        const spliced = spliceJson(json, [{ path, text }]);
        expect(JSON.parse(spliced)).toEqual(withString(value, path, text));
        expect(spliceJson(spliced, [{ path, text }])).toBe(spliced);
      }),
    );
  });

  test('10 MB of quotes, backslashes or brackets finish', () => {
    for (const value of ['\\\\'.repeat(2_500_000), '\\"'.repeat(2_500_000)]) {
      const json = `{"a":"${value}","b":"x"}`;
      expect(spliceJson(json, [{ path: ['b'], text: 'y' }]).endsWith('"b":"y"}')).toBe(true);
    }
    const nested = `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)},"b":"x"}`;
    expect(spliceJson(nested, [{ path: ['b'], text: 'y' }]).endsWith(',"b":"y"}')).toBe(true);
  });
});

function stringPaths(root: unknown): JsonPath[] {
  const paths: JsonPath[] = [];
  const pending: { value: unknown; path: JsonPath }[] = [{ value: root, path: [] }];
  for (const { value, path } of pending) {
    if (typeof value === 'string' && path.length > 0) paths.push(path);
    if (Array.isArray(value))
      value.forEach((item: unknown, index) => pending.push({ value: item, path: [...path, index] }));
    else if (typeof value === 'object' && value !== null) {
      for (const [key, item] of Object.entries(value)) pending.push({ value: item, path: [...path, key] });
    }
  }
  return paths;
}

function withString(root: unknown, path: JsonPath, text: string): unknown {
  const copy = structuredClone(root) as Record<string | number, unknown>;
  const parent = path
    .slice(0, -1)
    .reduce<Record<string | number, unknown>>((at, key) => at[key] as typeof at, copy);
  parent[path.at(-1)!] = JSON.parse(JSON.stringify(text));
  return copy;
}
