import { createHash, type Hash } from 'node:crypto';
import { open, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { ModelError } from './model-error.js';

export const MANIFEST = 'model.json';

/** A path below the model's folder: parts between `/`, none of which leads out of it. */
export const modelPath = z
  .string()
  .regex(
    /^(?!\.{1,2}(?:\/|$))[^/\\:\0]+(?:\/(?!\.{1,2}(?:\/|$))[^/\\:\0]+)*$/,
    'give a path below the model',
  );

const manifestSchema = z.object({
  /** One word for an embedded model, `owner/name` for one from a hub. */
  name: z.string().min(1),
  version: z.string().min(1),
  /** What runs it, e.g. `embedder`, `evidence`; `other` where that is not known. */
  kind: z.string().min(1),
  license: z.string().min(1),
  /** What it was made from or fetched from. */
  source: z.string().min(1),
  files: z
    .array(
      z.object({
        path: modelPath,
        /** In bytes. */
        size: z.int().nonnegative(),
        /** Hexadecimal. */
        sha256: z.string().regex(/^[0-9a-f]{64}$/, 'give 64 hexadecimal digits'),
      }),
    )
    .min(1),
  /** Checked by what runs this kind. */
  settings: z.record(z.string(), z.unknown()).default({}),
});

/** What `model.json` holds. */
export type ModelManifest = Readonly<z.output<typeof manifestSchema>>;

export type ModelFile = ModelManifest['files'][number];

/**
 * @returns undefined where the folder has no manifest
 * @throws ModelError `damaged` for a manifest that is none
 */
export async function readManifest(folder: string): Promise<ModelManifest | undefined> {
  const path = join(folder, MANIFEST);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw new ModelError('damaged', folder, `${path} cannot be read: ${(error as Error).message}`, {
      cause: error,
    });
  }
  try {
    return manifestSchema.parse(JSON.parse(text));
  } catch (error) {
    const reason =
      error instanceof z.ZodError
        ? `${error.issues[0]!.path.join('.')}: ${error.issues[0]!.message}`
        : (error as Error).message;
    throw new ModelError('damaged', folder, `${path} is no manifest: ${reason}`, { cause: error });
  }
}

/** By path, size and time of change: a file is read for its hash once a process, and again once it has changed. */
const hashes = new Map<string, Promise<string>>();

/**
 * Compares a file with its manifest.
 * @param afresh reads the file even where this process has done so before
 * @returns what is wrong with it; undefined where nothing is
 */
export async function faultOf(folder: string, file: ModelFile, afresh = false): Promise<string | undefined> {
  const path = join(folder, file.path);
  try {
    const { size, mtimeMs } = await stat(path);
    if (size !== file.size) return `it has ${size} bytes in place of ${file.size}`;
    const key = `${path}\0${size}\0${mtimeMs}`;
    let hash = afresh ? undefined : hashes.get(key);
    if (!hash) {
      hash = sha256OfFile(path);
      hashes.set(key, hash);
      hash.catch(() => hashes.delete(key));
    }
    const found = await hash;
    return found === file.sha256
      ? undefined
      : `its SHA-256 begins with ${found.slice(0, 12)} in place of ${file.sha256.slice(0, 12)}`;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
      ? 'it is not there'
      : `it cannot be read (${(error as Error).message})`;
  }
}

/** In hexadecimal. */
export function sha256OfFile(path: string): Promise<string> {
  return digestOfFile(path, createHash('sha256'));
}

/** In hexadecimal, of a file behind what the hash has had already. */
export async function digestOfFile(path: string, hash: Hash): Promise<string> {
  const file = await open(path, 'r');
  try {
    // One piece of memory: of a stream's, as large as the file together, the process would keep much.
    const piece = new Uint8Array(1 << 20);
    for (;;) {
      const { bytesRead } = await file.read(piece);
      if (bytesRead === 0) return hash.digest('hex');
      hash.update(piece.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}
