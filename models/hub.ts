import { z } from 'zod';
import { checkStatus, withRetries, type Fetch } from './download.js';
import { modelPath } from './manifest.js';
import { ModelError } from './model-error.js';

export interface HubOptions {
  readonly hub: string;
  readonly fetch?: Fetch;
  readonly signal?: AbortSignal;
}

/** A file of a hub's repository. */
export interface HubFile {
  readonly path: string;
  /** In bytes. */
  readonly size: number;
  readonly checksum: { readonly kind: 'sha256' | 'git'; readonly value: string };
}

const listingSchema = z.array(
  z.object({
    type: z.string(),
    path: z.string(),
    size: z.int().nonnegative().default(0),
    /** SHA-1 as a git object, of the file or of the pointer that stands for a large one. */
    oid: z.string(),
    lfs: z.object({ oid: z.string(), size: z.int().nonnegative() }).optional(),
  }),
);

/** What an encoder needs beside its graph. */
const COMPANIONS = [
  'config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'sentence_bert_config.json',
  '1_Pooling/config.json',
  'README.md',
];

/** Graphs by preference: small and exact enough on any processor first. */
const GRAPHS = [
  'onnx/model_quantized.onnx',
  'onnx/model_int8.onnx',
  'onnx/model.onnx',
  'model_quantized.onnx',
  'model_int8.onnx',
  'model.onnx',
];

/**
 * The files of a repository, as its hub lists them.
 * @throws ModelError `hub`; the signal's reason when aborted
 */
export async function listRepository(
  repository: string,
  { hub, fetch, signal }: HubOptions,
): Promise<HubFile[]> {
  const files: HubFile[] = [];
  let next: string | undefined = `${hub}/api/models/${repository}/tree/main?recursive=true`;
  while (next !== undefined) {
    const url: string = next;
    const { entries, link } = await withRetries(
      url,
      async () => {
        const response = await (fetch ?? globalThis.fetch)(url, signal && { signal });
        checkStatus(response);
        return { entries: parseListing(await response.text(), url), link: response.headers.get('link') };
      },
      signal,
    );
    for (const { type, path, size, oid, lfs } of entries) {
      if (type !== 'file' || !modelPath.safeParse(path).success) continue;
      files.push({
        path,
        size: lfs?.size ?? size,
        checksum: lfs
          ? { kind: 'sha256', value: lfs.oid.replace('sha256:', '') }
          : { kind: 'git', value: oid },
      });
    }
    const following = /<([^>]+)>\s*;\s*rel="?next"?/.exec(link ?? '')?.[1];
    next = following !== undefined && following !== url && following.startsWith(hub) ? following : undefined;
  }
  return files;
}

function parseListing(text: string, url: string): z.output<typeof listingSchema> {
  try {
    return listingSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new ModelError('hub', url, `${url} sends no list of files; check the hub's address`, {
      cause: error,
    });
  }
}

/**
 * Of a repository's files those to fetch, the graph first.
 * @param graph path of the graph wanted; default the first of the usual names that is there
 * @throws ModelError `hub` where there is no such graph
 */
export function chooseFiles(
  repository: string,
  files: readonly HubFile[],
  graph?: string,
): [HubFile, ...HubFile[]] {
  const graphs = files.filter(({ path }) => path.endsWith('.onnx'));
  const wanted = graph === undefined ? [...GRAPHS, graphs[0]?.path] : [graph];
  const chosen = wanted.flatMap((path) => graphs.find((file) => file.path === path) ?? [])[0];
  if (!chosen) {
    const known = graphs.map(({ path }) => path).join(', ');
    throw new ModelError(
      'hub',
      repository,
      `${repository} holds no ${graph ?? 'ONNX graph'}${known === '' ? '; choose a repository with an .onnx file' : `; it holds ${known}`}`,
    );
  }
  // Weights that a graph keeps in files of their own stand beside it: model.onnx_data, model.onnx_data_1.
  const weights = files.filter(
    ({ path }) => path.startsWith(`${chosen.path}_data`) || path === `${chosen.path}.data`,
  );
  return [chosen, ...weights, ...files.filter(({ path }) => COMPANIONS.includes(path))];
}
