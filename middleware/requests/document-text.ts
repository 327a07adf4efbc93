import type { JsonPath } from './splice-json.js';

export interface DocumentText {
  readonly path: JsonPath;
  readonly text: string;
  readonly title: string | undefined;
}

/** The text of a document: itself, or the field of that name, in Cohere's second version under `data`. */
export function documentText(document: unknown, path: JsonPath = []): DocumentText {
  if (typeof document === 'string') return { path, text: document, title: undefined };
  const [fields, at] =
    isObject(document) && document.data !== undefined ? [document.data, [...path, 'data']] : [document, path];
  if (typeof fields === 'string') return { path: at, text: fields, title: undefined };
  const name = ['text', 'snippet', 'content'].find(
    (key) => isObject(fields) && typeof fields[key] === 'string',
  );
  if (!isObject(fields) || name === undefined) return { path: at, text: '', title: undefined };
  const { title } = fields;
  return {
    path: [...at, name],
    text: fields[name] as string,
    title: typeof title === 'string' ? title : undefined,
  };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
