import { existsSync, readFileSync } from 'node:fs';
// By its name it would clash with the createRequire that bundles are given for the sake of CommonJS in them.
import * as modules from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

let root: string | undefined;

/**
 * A file or folder of this package, by its path in it, whether ragpress runs from source or as built. In a bundle, which
 * has its code without its weights and threads, one of the package that is installed beside the bundle.
 * @param path with slashes; default the package's own folder
 * @throws Error in a bundle where none is, and for a file that is not there
 */
export function packageFile(path = ''): string {
  root ??= packageRoot();
  const file = join(root, path);
  if (existsSync(file)) return file;
  throw new Error(
    `ragpress has no ${file}: that copy of it is not whole (in a checkout: npm run build; Next.js, standalone: ` +
      "outputFileTracingIncludes: { '/*': ['./node_modules/{ragpress,piscina,onnxruntime-node}/**'] })",
  );
}

function packageRoot(): string {
  // A bundle in CommonJS has no URL.
  const url = import.meta.url as string | undefined;
  const own = url === undefined ? undefined : dirname(fileURLToPath(url));
  for (let folder = own; folder !== undefined; folder = parentOf(folder)) if (isOwn(folder)) return folder;
  const places = [own, process.argv[1] && dirname(process.argv[1]), process.cwd()].filter(
    (place) => place !== undefined,
  );
  for (const place of places) {
    try {
      return dirname(modules.createRequire(join(place, 'bundle.js')).resolve('ragpress/package.json'));
    } catch {
      // Not installed there.
    }
  }
  throw new Error(
    `ragpress has been bundled, and its weights and threads are not in ${[...new Set(places)].join(' or ')}: ` +
      'install it there, and better leave it out of the bundle ' +
      "(esbuild: --external:ragpress; Next.js: serverExternalPackages: ['ragpress']; webpack: externals)",
  );
}

function parentOf(folder: string): string | undefined {
  const parent = dirname(folder);
  return parent === folder ? undefined : parent;
}

function isOwn(folder: string): boolean {
  try {
    const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { name?: unknown };
    return manifest.name === 'ragpress';
  } catch {
    return false;
  }
}
