import { readdir, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { ConfigurationError } from '../settings/configuration-error.js';
import { validate } from '../settings/validate.js';
import { download, type Fetch } from './download.js';
import { chooseFiles, listRepository, type HubFile } from './hub.js';
import { faultOf, MANIFEST, readManifest, sha256OfFile, type ModelManifest } from './manifest.js';
import { ModelError } from './model-error.js';
import { packageFile } from './package-file.js';
import { writeWhole } from './write-whole.js';

export interface ModelRegistryOptions {
  /** A folder of models, looked in first. */
  readonly folder?: string;
  /**
   * Where fetched models are kept, under `models/`. Default `$RAGPRESS_CACHE`, else `ragpress` in `$XDG_CACHE_HOME`, else
   * `~/.cache/ragpress`; on Windows `%LOCALAPPDATA%\ragpress`.
   */
  readonly cacheFolder?: string;
  /** Address of the hub. Default `https://huggingface.co`. */
  readonly hub?: string;
  /** Default the global one. */
  readonly fetch?: Fetch;
}

const optionsSchema = z.strictObject({
  folder: z.string().min(1).optional(),
  cacheFolder: z.string().min(1).optional(),
  hub: z
    .url({ protocol: /^https?$/ })
    .default('https://huggingface.co')
    .transform((url) => url.replace(/\/+$/, '')),
  fetch: z.custom<Fetch>((value) => typeof value === 'function', 'give a function').optional(),
});

/** Where a model stands: in the folder given, in ragpress itself, or in the cache. */
export type ModelPlace = 'folder' | 'package' | 'cache';

export interface ResolvedModel {
  readonly manifest: ModelManifest;
  readonly place: ModelPlace;
  /** Absolute; the paths of `manifest.files` are below it. */
  readonly folder: string;
}

export interface ListedModel {
  readonly name: string;
  readonly place: ModelPlace;
  readonly folder: string;
  /** Undefined where it cannot be read; `fault` says why. */
  readonly manifest?: ModelManifest;
  readonly fault?: string;
}

export interface ModelReport extends ListedModel {
  readonly files: readonly { readonly path: string; readonly fault?: string }[];
  /** Whether nothing is wrong with it. */
  readonly sound: boolean;
}

export interface PullProgress {
  readonly model: string;
  /** The file that is coming. */
  readonly file: string;
  /** Bytes of all files that are there. */
  readonly received: number;
  /** Bytes of all files. */
  readonly size: number;
}

export interface PullOptions {
  /** Path of the ONNX graph in the repository. Default a quantised one where there is one. */
  readonly graph?: string;
  readonly onProgress?: (progress: PullProgress) => void;
  readonly signal?: AbortSignal;
}

const PART = '[A-Za-z0-9_][A-Za-z0-9._-]*';
const NAME = new RegExp(`^${PART}(?:/${PART})?$`);
const CARD = 'CARD.md';

/**
 * Finds models by name: in a folder of choice, in ragpress itself (`models/weights`), in the cache. A model is a folder
 * with `model.json` beside its files. Only `pull` uses the network.
 */
export class ModelRegistry {
  readonly #places: readonly { readonly place: ModelPlace; readonly path: string }[];
  /** Where what can be fetched or made again is kept: models are under `models/` in it. */
  readonly cacheFolder: string;
  readonly #cache: string;
  readonly #hub: string;
  readonly #fetch: Fetch | undefined;
  /** Why ragpress's own models are not to be had. */
  readonly #noPackage: string | undefined;

  /** @throws ConfigurationError */
  constructor(options: ModelRegistryOptions = {}) {
    const { folder, cacheFolder, hub, fetch } = validate(optionsSchema, options, 'registry');
    this.cacheFolder = cacheFolder ?? defaultCacheFolder();
    this.#cache = join(this.cacheFolder, 'models');
    const places: { place: ModelPlace; path: string }[] = [{ place: 'cache', path: this.#cache }];
    try {
      places.unshift({ place: 'package', path: packageFile('models/weights') });
    } catch (error) {
      this.#noPackage = (error as Error).message;
    }
    if (folder !== undefined) places.unshift({ place: 'folder', path: folder });
    this.#places = places;
    this.#hub = hub;
    this.#fetch = fetch;
  }

  /**
   * The first model of that name, its files compared with their sizes and, once a process, their SHA-256.
   * @throws ConfigurationError for what is no name; ModelError `missing` or `damaged`
   */
  async resolve(name: string): Promise<ResolvedModel> {
    const { sound, ...model } = await this.find(name);
    await sound;
    return model;
  }

  /**
   * The same while its files are still being compared, for one who has to read them, too: `sound` ends with that.
   * @throws as `resolve`, `damaged` for a manifest alone: for a file `sound` throws it
   */
  async find(name: string): Promise<ResolvedModel & { readonly sound: Promise<void> }> {
    checkName(name);
    for (const { place, path } of this.#places) {
      const folder = join(path, name);
      const manifest = await readManifest(folder);
      if (!manifest) continue;
      if (manifest.name !== name)
        throw new ModelError('damaged', name, `${join(folder, MANIFEST)} is that of ${manifest.name}`);
      const sound = checkFiles({ manifest, place, folder });
      sound.catch(() => undefined); // Whoever waits for it is told; nobody need.
      return { manifest, place, folder, sound };
    }
    throw new ModelError(
      'missing',
      name,
      `there is no model ${name} in ${this.#places.map(({ path }) => path).join(', ')}; ` +
        (name.includes('/')
          ? `fetch it: ragpress models pull ${name}`
          : (this.#noPackage ??
            'see which there are: ragpress models list; those of a hub are named OWNER/NAME and come with: ragpress models pull OWNER/NAME')),
    );
  }

  /**
   * Fetches a hub's model into the cache, what is there and right excepted. A download that was cut short goes on where
   * it ended; the model is there once all of its files are.
   * @param name `owner/name`; one of ragpress's own is there already and only checked
   * @throws ModelError `hub`, `storage`, or what `resolve` throws; the signal's reason when aborted
   */
  async pull(name: string, { graph, onProgress, signal }: PullOptions = {}): Promise<ResolvedModel> {
    checkName(name);
    signal?.throwIfAborted();
    if (!name.includes('/')) return this.resolve(name);
    const folder = join(this.#cache, name);
    const there = await this.#soundInCache(name, folder);
    if (there && (graph === undefined || there.manifest.settings.graph === graph)) return there;

    const options = { ...(this.#fetch && { fetch: this.#fetch }), ...(signal && { signal }) };
    const chosen = chooseFiles(name, await listRepository(name, { ...options, hub: this.#hub }), graph);
    const size = chosen.reduce((sum, file) => sum + file.size, 0);
    let before = 0;
    for (const file of chosen) {
      await download(
        {
          url: `${this.#hub}/${name}/resolve/main/${file.path.split('/').map(encodeURIComponent).join('/')}`,
          target: join(folder, localPath(file.path)),
          size: file.size,
          checksum: file.checksum,
        },
        {
          ...options,
          onBytes: (received) =>
            onProgress?.({ model: name, file: file.path, received: before + received, size }),
        },
      );
      before += file.size;
    }
    const manifest = await describe(name, folder, chosen, `${this.#hub}/${name}`);
    try {
      await writeWhole(join(folder, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
    } catch (error) {
      throw new ModelError('storage', name, `${folder} cannot be written: ${(error as Error).message}`, {
        cause: error,
      });
    }
    return this.resolve(name);
  }

  /** Every model that `resolve` would find, by name. */
  async list(): Promise<ListedModel[]> {
    const found = new Map<string, ListedModel>();
    for (const { place, path } of this.#places) {
      for (const name of await namesIn(path)) {
        if (found.has(name)) continue;
        const folder = join(path, name);
        try {
          const manifest = await readManifest(folder);
          if (manifest) found.set(name, { name, place, folder, manifest });
        } catch (error) {
          found.set(name, { name, place, folder, fault: (error as Error).message });
        }
      }
    }
    return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /**
   * Reads every file of the models and compares it with its manifest.
   * @param names default all that `list` gives
   * @throws ModelError `missing` for a name that is not among them
   */
  async verify(names?: readonly string[]): Promise<ModelReport[]> {
    const listed = await this.list();
    const wanted =
      names?.map((name) => {
        const model = listed.find((model) => model.name === name);
        if (!model)
          throw new ModelError(
            'missing',
            name,
            `there is no model ${name}; there are ${listed.map(({ name }) => name).join(', ') || 'none'}`,
          );
        return model;
      }) ?? listed;
    const reports: ModelReport[] = [];
    for (const model of wanted) {
      const files: { path: string; fault?: string }[] = [];
      for (const file of model.manifest?.files ?? []) {
        const fault = await faultOf(model.folder, file, true);
        files.push({
          path: file.path,
          ...(fault !== undefined && { fault: `${fault}; ${remedy(model.name, model.place, model.folder)}` }),
        });
      }
      reports.push({
        ...model,
        files,
        sound: model.manifest !== undefined && files.every(({ fault }) => fault === undefined),
      });
    }
    return reports;
  }

  async #soundInCache(name: string, folder: string): Promise<ResolvedModel | undefined> {
    const manifest = await readManifest(folder).catch(() => undefined);
    if (manifest?.name !== name) return undefined;
    for (const file of manifest.files) if ((await faultOf(folder, file)) !== undefined) return undefined;
    return { manifest, place: 'cache', folder };
  }
}

function checkName(name: string): void {
  if (typeof name !== 'string' || !NAME.test(name))
    throw new ConfigurationError(
      'model',
      name,
      'give a name such as minilm, or OWNER/NAME for a model of a hub',
    );
}

/** Where models are kept that were fetched, under `models/`. */
export function defaultCacheFolder(): string {
  const { RAGPRESS_CACHE, XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  if (RAGPRESS_CACHE) return RAGPRESS_CACHE;
  if (process.platform === 'win32' && LOCALAPPDATA) return join(LOCALAPPDATA, 'ragpress');
  return XDG_CACHE_HOME ? join(XDG_CACHE_HOME, 'ragpress') : join(homedir(), '.cache', 'ragpress');
}

/** Names of the folders that may hold a model: `name` or `owner/name`. */
async function namesIn(path: string): Promise<string[]> {
  const names: string[] = [];
  for (const outer of await foldersIn(path)) {
    names.push(outer);
    for (const inner of await foldersIn(join(path, outer))) names.push(`${outer}/${inner}`);
  }
  return names.filter((name) => NAME.test(name));
}

async function foldersIn(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory() || entry.isSymbolicLink()).map(({ name }) => name);
}

/** Reads them side by side. @throws ModelError `damaged` */
async function checkFiles({ manifest, place, folder }: ResolvedModel): Promise<void> {
  const { name, files } = manifest;
  const faults = await Promise.all(files.map((file) => faultOf(folder, file)));
  const at = faults.findIndex((fault) => fault !== undefined);
  if (at < 0) return;
  throw new ModelError(
    'damaged',
    name,
    `${join(folder, files[at]!.path)} of the model ${name} is refused: ${faults[at]}; ${remedy(name, place, folder)}`,
  );
}

function remedy(name: string, place: ModelPlace, folder: string): string {
  if (place === 'cache') return `fetch it again: ragpress models pull ${name}`;
  if (place === 'folder') return `put the right file into ${folder}`;
  return `restore it: install ragpress again, or in a checkout: git checkout -- models/weights/${name}`;
}

/** A hub's README is the model's card. */
function localPath(path: string): string {
  return path === 'README.md' ? CARD : path;
}

/** The manifest of a fetched model, from what came with it. */
async function describe(
  name: string,
  folder: string,
  fetched: readonly [HubFile, ...HubFile[]],
  source: string,
): Promise<ModelManifest> {
  const files = [];
  for (const { path, size } of fetched)
    files.push({ path: localPath(path), size, sha256: await sha256OfFile(join(folder, localPath(path))) });
  const has = (path: string) => fetched.some((file) => file.path === path);
  const json = async (path: string): Promise<Record<string, unknown>> => {
    try {
      return JSON.parse(await readFile(join(folder, path), 'utf8')) as Record<string, unknown>;
    } catch {
      return {};
    }
  };
  const card = has('README.md') ? await readFile(join(folder, CARD), 'utf8') : '';
  const front = /^---\r?\n([\s\S]*?)\r?\n---/.exec(card)?.[1] ?? '';
  const [config, tokenizer, sentences, pooling] = await Promise.all(
    ['config.json', 'tokenizer_config.json', 'sentence_bert_config.json', '1_Pooling/config.json'].map(json),
  );
  const isEmbedder =
    has('1_Pooling/config.json') ||
    /^pipeline_tag:\s*["']?(?:feature-extraction|sentence-similarity)\b/m.test(front);
  const limits = [sentences!.max_seq_length, config!.max_position_embeddings, tokenizer!.model_max_length];
  const maxTokens = Math.min(...limits.filter((limit) => Number.isSafeInteger(limit)).map(Number));
  return {
    name,
    version: files[0]!.sha256.slice(0, 12),
    kind: isEmbedder ? 'embedder' : 'other',
    license: /^license:\s*["']?([^\s"']+)/m.exec(front)?.[1] ?? 'unknown',
    source,
    files,
    settings: {
      graph: fetched[0].path,
      ...(isEmbedder && {
        dimensions: config!.hidden_size,
        maxTokens: Number.isFinite(maxTokens) ? maxTokens : 512,
        pooling: pooling!.pooling_mode_cls_token === true ? 'cls' : 'mean',
      }),
    },
  };
}
