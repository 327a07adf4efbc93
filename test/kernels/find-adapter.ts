import { existsSync } from 'node:fs';
import { Gpu, type GpuOptions } from '../../kernels/gpu.js';

/** Debian's package chromium brings SwiftShader, a GPU in software. */
const SWIFTSHADER = '/usr/lib/chromium/vk_swiftshader_icd.json';

// Before Dawn loads; a machine's own drivers come first where it has been told of them.
if (process.env.VK_ICD_FILENAMES === undefined && existsSync(SWIFTSHADER))
  process.env.VK_ICD_FILENAMES = SWIFTSHADER;

/** Opens an adapter, for tests; undefined where there is none. */
export async function openGpu(options: GpuOptions = {}): Promise<Gpu | undefined> {
  try {
    return await Gpu.open(options);
  } catch {
    return undefined;
  }
}

const gpu = await openGpu();
gpu?.close();

/** For the name of a suite that is skipped: `describe.skipIf(!hasGpu)(\`…${NO_GPU}\`)`. */
export const hasGpu = gpu !== undefined;
export const NO_GPU = hasGpu
  ? ''
  : ' (skipped: no GPU adapter; `apt-get install chromium libvulkan1` brings one in software)';
