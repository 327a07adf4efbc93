import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { findContexts, type Context } from '../../../middleware/requests/find-contexts.js';
import { replacePassages } from '../../../middleware/requests/passage.js';
import { ferry, page, prompts, question, yard } from './prompts.js';

const first = { systemQuestion: 'first' } as const;

function documentsOf({ texts }: Context): string[] {
  return texts.flatMap(({ text, passages }) =>
    passages.map(({ inner }) => text.slice(inner.start, inner.end)),
  );
}

function find(messages: unknown[], more: object = {}): Context[] {
  return findContexts({ model: 'gpt-4o', messages, ...more }, first);
}

describe.each(prompts)('$application', ({ role, text, documents, question: own }) => {
  const asked = { role: 'user', content: question };
  const messages = role === 'system' ? [{ role, content: text }, asked] : [{ role, content: text }];

  test('its documents and its question are found', () => {
    const [context, ...others] = find(messages);
    expect(others).toEqual([]);
    expect(documentsOf(context!)).toEqual(documents);
    if (own !== undefined || role === 'system') expect(context!.query).toBe(question);
    else expect(context!.query).toContain(question);
  });

  test('in a text part as in a string', () => {
    const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,AA' } };
    const parts = messages.map((message) => ({
      ...message,
      content: [image, { type: 'text', text: message.content }],
    }));
    const [context] = find(parts);
    expect(documentsOf(context!)).toEqual(documents);
    expect(context!.texts[0]!.path).toEqual(['messages', 0, 'content', 1, 'text']);
  });

  test('putting back what was there changes nothing; putting in other text changes only the documents', () => {
    const { texts } = find(messages)[0]!;
    const { passages, reread } = texts[0]!;
    expect(replacePassages(text, passages, documents).text).toBe(text);
    const replaced = replacePassages(
      text,
      passages,
      documents.map((_, index) => `kept ${index}`),
    ).text;
    expect(replaced).toBe(
      documents.reduce((changed, document, index) => changed.replace(document, () => `kept ${index}`), text),
    );
    expect(reread(replaced)).toHaveLength(documents.length);
  });

  test('a document of which nothing is kept goes with its markers, and the others stay', () => {
    const { passages, reread } = find(messages)[0]!.texts[0]!;
    const contents = documents.map((document, index) => (index === 0 ? undefined : document));
    const replaced = replacePassages(text, passages, contents).text;
    expect(replaced).not.toContain(documents[0]);
    expect(reread(replaced).map(({ inner }) => replaced.slice(inner.start, inner.end))).toEqual(
      documents.slice(1),
    );
  });

  test('an assistant that repeats it is left alone', () => {
    expect(find([asked, { role: 'assistant', content: text }])).toEqual([]);
  });
});

describe('names of documents', () => {
  test('come from attributes and elements, and are addresses where they look like it', () => {
    const [sources, documents] = [prompts[0]!, prompts[2]!].map(
      ({ text }) => find([{ role: 'user', content: text }])[0]!.texts[0]!.passages,
    );
    for (const [a, b] of [sources!, documents!]) {
      expect(a).toMatchObject({ title: 'harbour-line.md' });
      expect(b).toMatchObject({ title: 'https://yard.example/rowan', url: 'https://yard.example/rowan' });
    }
  });
});

describe('what is not a context is left alone', () => {
  test.each([
    ['a plain question', 'What is a <source> tag? And <source id="1">?'],
    ['a source never closed', 'See\n<source id="1" name="a">text'],
    ['a source without an id', '<video>\n<source src="a.mp4">\n</source></video>'],
    ['an XML document that is asked about', `Indent this:\n<document>\n<a/>\n</document>`],
    ['a context never ended', '[CONTEXT 0]:\ntext\n[END CONTEXT 1]'],
    ['a rule without a second one', 'Context information is below.\n---------------------\ntext'],
    [
      'pieces of context without a question',
      'Use the following pieces of context to answer the question.\n\ntext',
    ],
    ['an empty context element', '<context>\n\n</context>\nHello'],
  ])('%s', (_, content) => {
    expect(find([{ role: 'user', content }])).toEqual([]);
  });

  test('bodies that are no requests', () => {
    for (const body of [
      null,
      1,
      'x',
      [],
      {},
      { messages: 'x' },
      { messages: [null, 1, [], { role: 1, content: 2 }] },
      { messages: [], documents: [null, 1, {}] },
    ]) {
      expect(findContexts(body, first)).toEqual([]);
    }
  });
});

describe("a tool's result", () => {
  const asked = { role: 'user', content: 'What does the Harbour Line cost?' };
  const call = {
    id: 'call_1',
    type: 'function',
    function: {
      name: 'search_web',
      arguments: '{"query":"ferry fares","top":3,"in":["en",{"site":"harbour.example"}]}',
    },
  };
  const assistant = { role: 'assistant', content: null, tool_calls: [call] };

  test('is read for the call that asked for it and the question before that', () => {
    for (const content of [ferry, page, [{ type: 'text', text: yard }]]) {
      const [context] = find([asked, assistant, { role: 'tool', tool_call_id: 'call_1', content }]);
      expect(context!.query).toBe(
        'What does the Harbour Line cost?\nsearch_web ferry fares en harbour.example',
      );
      expect(documentsOf(context!)).toEqual([typeof content === 'string' ? content : yard]);
    }
  });

  test('with ids used twice, for the call before it', () => {
    const again = {
      role: 'assistant',
      tool_calls: [{ ...call, function: { name: 'open', arguments: 'not JSON' } }],
    };
    const result = { role: 'tool', tool_call_id: 'call_1', content: yard };
    expect(find([asked, assistant, result, again, result]).map(({ query }) => query.split('\n')[1])).toEqual([
      'search_web ferry fares en harbour.example',
      'open not JSON',
    ]);
  });

  test('with documents in a form that is known, each of them is one', () => {
    const content = `Found:\n<source id="1">${ferry}</source>\n<source id="2">${yard}</source>`;
    expect(
      documentsOf(find([asked, assistant, { role: 'tool', tool_call_id: 'call_1', content }])[0]!),
    ).toEqual([ferry, yard]);
  });

  test.each([
    ['an object', '{"price": 7.5, "text": "a long text"}'],
    ['a list', ' [{"title":"a","text":"b"}]'],
    ['numbers', '[1, 2, 3]'],
    ['lines of JSON', '{"a":1}\n{"a":2}\n'],
    ['JSON cut short', '[{"title":"a","te'],
    [
      'code',
      `import fs from 'node:fs';\nexport function read(name) {\n  return fs.readFileSync(name);\n}\nconst a = 1;\n`,
    ],
    ['nothing', ' \n'],
  ])('that is %s is never touched', (_, content) => {
    expect(find([asked, assistant, { role: 'tool', tool_call_id: 'call_1', content }])).toEqual([]);
  });
});

describe('the field documents', () => {
  test('strings and objects with a text, for the last question', () => {
    const documents = [
      ferry,
      { title: 'Rowan', text: yard },
      { id: 'c', data: { snippet: page, title: 'Deck' } },
      { id: 'd', data: 'text' },
      { data: { data: { text: 'deeper' } } },
      { score: 1 },
    ];
    const [context, ...others] = find(
      [
        { role: 'user', content: 'First?' },
        { role: 'assistant', content: 'Yes.' },
        { role: 'user', content: 'Second?' },
      ],
      { documents },
    );
    expect(others).toEqual([]);
    expect(context!.query).toBe('Second?');
    expect(context!.texts.map(({ path }) => path.join('.'))).toEqual([
      'documents.0',
      'documents.1.text',
      'documents.2.data.snippet',
      'documents.3.data',
    ]);
    expect(context!.texts.map(({ passages }) => passages[0]!.title)).toEqual([
      undefined,
      'Rowan',
      'Deck',
      undefined,
    ]);
  });

  test('a text of which nothing is kept stays there, and is not empty', () => {
    const [context] = find([{ role: 'user', content: question }], { documents: [ferry] });
    expect(replacePassages(ferry, context!.texts[0]!.passages, [undefined]).text).toBe('…');
  });
});

describe('the question of a context in a system message', () => {
  const system = {
    role: 'system',
    content: prompts.find(({ application }) => application === 'AnythingLLM')!.text,
  };
  const conversation = [
    system,
    { role: 'user', content: 'First?' },
    { role: 'assistant', content: 'Yes.' },
    { role: 'user', content: 'Second?' },
  ];

  test('is the first one asked after it, which no later turn changes', () => {
    expect(find(conversation)[0]!.query).toBe('First?');
    expect(find([...conversation.slice(1, 2), system, ...conversation.slice(2)])[0]!.query).toBe('First?');
  });

  test('or the last one, where the option says so', () => {
    expect(findContexts({ messages: conversation }, { systemQuestion: 'last' })[0]!.query).toBe('Second?');
  });

  test('and where there is none, the context is left alone', () => {
    expect(find([system])).toEqual([]);
  });
});

describe('prompt caches', () => {
  const message = fc.oneof(
    fc
      .constantFrom(...prompts.filter(({ role }) => role === 'user'))
      .map(({ text }) => ({ role: 'user', content: text })),
    fc.constantFrom('Why?', 'And then?', question).map((content) => ({ role: 'user', content })),
    fc.constantFrom('a', 'b').map((id) => ({
      role: 'assistant',
      content: null,
      tool_calls: [{ id, type: 'function', function: { name: 'search', arguments: `{"q":"${id}"}` } }],
    })),
    fc
      .tuple(fc.constantFrom('a', 'b'), fc.constantFrom(ferry, yard, page, '{"a":1}'))
      .map(([tool_call_id, content]) => ({ role: 'tool', tool_call_id, content })),
    fc.constant({ role: 'assistant', content: 'Indeed.' }),
  );
  const system = fc
    .constantFrom(...prompts.filter(({ role }) => role === 'system'))
    .map(({ text }) => ({ role: 'system', content: text }));

  test('as a conversation goes on, what is found in its messages, and for which query, stays the same', () => {
    fc.assert(
      fc.property(
        system,
        fc.array(message, { maxLength: 8 }),
        fc.array(message, { maxLength: 6 }),
        (start, turns, later) => {
          const sent = [start, { role: 'user', content: 'Which ship?' }, ...turns];
          const before = find(sent);
          const after = find([...sent, ...later]).filter(
            ({ texts }) => (texts[0]!.path[1] as number) < sent.length,
          );
          expect(JSON.stringify(after)).toBe(JSON.stringify(before));
        },
      ),
      { numRuns: 300 },
    );
  });

  test('nothing at or before the last breakpoint is touched', () => {
    const context = { role: 'user', content: prompts[0]!.text };
    const breakpoint = {
      role: 'user',
      content: [{ type: 'text', text: prompts[0]!.text, cache_control: { type: 'ephemeral' } }],
    };
    const found = find(
      [context, breakpoint, context, { ...context, cache_control: { type: 'ephemeral' } }, context],
      { documents: [ferry] },
    );
    expect(found.map(({ texts }) => texts[0]!.path[1])).toEqual([4]);
  });
});

describe('10 MB of anything finish', () => {
  const size = 10_000_000;
  test.each([
    '\n<source id="1">',
    '</source>',
    '\n<source id="',
    '\n<source a="b" ',
    "><source id=1 b='",
    '\n<document id="1">',
    '<documents>',
    '[CONTEXT 1]:',
    '[END CONTEXT 1]',
    'Context information is below.\n',
    'Context information is below.\n--------\n',
    '-',
    '-\n',
    '\n--------- ',
    'Use the following pieces of context to answer ',
    'Question:',
    '\nQuestion: ',
    '\n\n',
    ' ',
    '\n   ',
    '<context>',
    '\n<context></context>',
    '<query>',
    '<user_query>a',
    '\nAnswer: ',
    '{',
    '[',
    '\ud800',
  ])('%j', (piece) => {
    const content = piece.repeat(Math.ceil(size / piece.length));
    const started = performance.now();
    find([
      { role: 'system', content },
      { role: 'user', content: `${content}<source id="1">\n<source id="1">x</source>` },
      { role: 'tool', tool_call_id: 'a', content },
    ]);
    expect(performance.now() - started).toBeLessThan(10_000);
  });
});
