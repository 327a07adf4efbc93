import { availableParallelism } from 'node:os';

/** `absent` and `broken` are said of the package, the others of the model. */
export type TransformersFailure = 'absent' | 'broken' | 'unavailable' | 'damaged' | 'inference';

export interface TransformersFault {
  readonly why: TransformersFailure;
  readonly message: string;
}

/** Where models are found. */
export interface TransformersPlace {
  readonly revision: string;
  /** Holds `OWNER/NAME/config.json` and so on, of this revision. */
  readonly folder: string;
  readonly localOnly: boolean;
  readonly hub: string;
}

export interface Pretrained<Part> {
  from_pretrained(model: string, options: Readonly<Record<string, unknown>>): Promise<Part>;
}

/** What Transformers.js 2 to 4 have in common of its settings. */
export interface TransformersLibrary {
  readonly env: {
    remoteHost: string;
    remotePathTemplate: string;
    allowRemoteModels: boolean;
    cacheDir: string;
    logLevel?: number;
  };
}

/** Options of a model, for versions from 3 on. */
export const ON_CPU = {
  device: 'cpu',
  session_options: {
    intraOpNumThreads: Math.min(4, availableParallelism()),
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  },
};

const PACKAGE = '@xenova/transformers';
const LOG_NOTHING = 50;

export class Failure extends Error {
  constructor(
    readonly why: TransformersFailure,
    message: string,
  ) {
    super(message);
  }
}

/** @throws Failure `absent` or `broken` */
export async function loadTransformers<Library extends TransformersLibrary>({
  revision,
  folder,
  localOnly,
  hub,
}: TransformersPlace): Promise<Library> {
  let library: Library;
  try {
    library = (await import(PACKAGE)) as Library;
  } catch (error) {
    const isAbsent =
      (error as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND' &&
      messageOf(error).includes(`'${PACKAGE}'`);
    throw new Failure(isAbsent ? 'absent' : 'broken', messageOf(error));
  }
  const { env } = library;
  // In `env`, as version 4 looks for a tokenizer without regard to the revision and folder that it is given.
  env.remoteHost = hub;
  env.remotePathTemplate = `{model}/resolve/${encodeURIComponent(revision)}/`;
  env.cacheDir = folder;
  env.allowRemoteModels = !localOnly;
  env.logLevel = LOG_NOTHING;
  return library;
}

export function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).trim();
}
