/** Texts in the forms in which applications put documents before a model, each with its documents and its question. */
export interface Prompt {
  readonly application: string;
  readonly role: 'user' | 'system';
  readonly text: string;
  readonly documents: readonly string[];
  /** Undefined where the question is another message's. */
  readonly question?: string;
}

export const ferry = `# Harbour Line

The Harbour Line sails every day of the year except on 24 December.
A day return costs 7.50 for an adult and 3.75 for a child.
Bicycles travel free of charge on weekdays, and for 2.00 at weekends.`;

export const yard = `The Rowan was built in 1987 at the yard of Dr. J. K. Oduya.
Her engine was replaced in 2011. She carries 220 passengers and a crew of six.`;

export const page = `<div class="page"><nav><a href="/">Home</a> <a href="/jobs">Jobs</a></nav><h1>Car deck</h1>
<p>The car deck of the Alder takes 34 cars &amp; 4 coaches.</p><p>Vehicles over 3.5 t book by telephone.</p></div>`;

export const question = 'How much is a day return for an adult?';

export const prompts: readonly Prompt[] = [
  {
    application: 'Open WebUI',
    role: 'user',
    text: `### Task:
Answer from the context, with citations in the form [id] only where the <source> tag has an id (e.g., <source id="1">).

### Guidelines:
- Do not cite where the <source> tag has no id.

<context>
<source id="1" name="harbour-line.md">${ferry}</source>
<source id="2" name="https://yard.example/rowan">${yard}</source>
</context>

${question}`,
    documents: [ferry, yard],
    question,
  },
  {
    application: 'Open WebUI, with the query in an element',
    role: 'user',
    text: `Answer with citations such as <source id="1">.\n<context>\n<source id="1">${page}</source>\n</context>\n\n<user_query>\n${question}\n</user_query>\n`,
    documents: [page],
    question,
  },
  {
    application: 'the long-context form of Anthropic',
    role: 'user',
    text: `<documents>
<document index="1">
<source>harbour-line.md</source>
<document_content>
${ferry}
</document_content>
</document>
<document index="2">
<source>https://yard.example/rowan</source>
<document_content>
${yard}
</document_content>
</document>
</documents>

${question}`,
    documents: [ferry, yard],
    question,
  },
  {
    application: 'documents with attributes',
    role: 'user',
    text: `${question}\n\n<document title="Harbour Line" id="a">\n${ferry}\n</document>\n<document id='b'>${yard}</document>`,
    documents: [ferry, yard],
    question,
  },
  {
    application: 'AnythingLLM',
    role: 'system',
    text: `Given the following conversation and context, answer the user.\nContext:\n[CONTEXT 0]:\n${ferry}\n[END CONTEXT 0]\n\n[CONTEXT 1]:\n${yard}\n[END CONTEXT 1]\n\n`,
    documents: [ferry, yard],
  },
  {
    application: 'LlamaIndex',
    role: 'user',
    text: `Context information is below.\n---------------------\nfile_path: harbour.md\n\n${ferry}\n\n${yard}\n---------------------\nGiven the context information and not prior knowledge, answer the query.\nQuery: ${question}\nAnswer: `,
    documents: [`file_path: harbour.md\n\n${ferry}\n\n${yard}`],
    question,
  },
  {
    application: 'LlamaIndex, from several sources, without a label',
    role: 'user',
    text: `Context information from multiple sources is below.\n---------------------\n${yard}\n---------------------\nGiven the information from multiple sources and not prior knowledge, answer the query.\n${question}`,
    documents: [yard],
  },
  {
    application: 'LangChain, stuffed',
    role: 'user',
    text: `Use the following pieces of context to answer the question at the end. If you don't know the answer, say so.\n\n${ferry}\n\n${yard}\n\nQuestion: ${question}\nHelpful Answer:`,
    documents: [`${ferry}\n\n${yard}`],
    question,
  },
  {
    application: 'LangChain, question first',
    role: 'user',
    text: `You are an assistant for question-answering tasks. Use the following pieces of retrieved context to answer the question. Keep the answer concise.\nQuestion: ${question} \nContext: ${ferry}\n\nQuestion: is this a document's own?\n${yard} \nAnswer:`,
    documents: [`${ferry}\n\nQuestion: is this a document's own?\n${yard}`],
    question,
  },
  {
    application: 'LangChain, under a rule in the system message',
    role: 'system',
    text: `Use the following pieces of context to answer the user's question. \nIf you don't know the answer, say so.\n----------------\n${ferry}\n\n${yard}`,
    documents: [`${ferry}\n\n${yard}`],
  },
  {
    application: 'LangChain, after a blank line in the system message',
    role: 'system',
    text: `You are an assistant for question-answering tasks. Use the following pieces of retrieved context to answer the question. Keep the answer concise.\n\n${yard}`,
    documents: [yard],
  },
  {
    application: 'a context element',
    role: 'user',
    text: `Answer any questions based solely on the context below:\n\n<context>\n${ferry}\n</context>\n\n${question}`,
    documents: [ferry],
    question,
  },
];
