import { allot } from './allot.js';
import type { Compressor } from './contract.js';
import { ConfigurationError } from '../settings/configuration-error.js';
import { exit } from './exit/exit.js';
import { sentences } from './exit/sentences.js';
import { htmlrag } from './htmlrag/htmlrag.js';
import { summarise } from './tcra/summarise.js';
import { tcra } from './tcra/tcra.js';
import { xrag } from './xrag/xrag.js';
import { zipfit } from './zipfit/zipfit.js';

/** Stages by the name that a configuration file or the command line gives, with their default settings. */
const STAGES: Readonly<Record<string, () => Compressor>> = {
  htmlrag: () => htmlrag(),
  zipfit: () => zipfit(),
  sentences: () => sentences(),
  exit: () => exit(),
  allot: () => allot(),
  summarise: () => summarise(),
  tcra: () => tcra(),
  xrag: () => xrag(),
};

/** The stages of each preset, in order. */
const PRESETS: Readonly<Record<string, readonly string[]>> = {
  /** No model. */
  fast: ['htmlrag', 'zipfit', 'sentences'],
  /** The encoder `evidence`, which comes with ragpress. */
  balanced: ['htmlrag', 'zipfit', 'exit'],
  /** Beside it the words of `minilm`. Summaries are not in it: those of `smollm2` cost answers (README). */
  max: ['htmlrag', 'zipfit', 'exit', 'allot', 'tcra'],
};

export const DEFAULT_PRESET = 'balanced';

/** @throws ConfigurationError for a preset that does not exist */
export function presetStages(preset: string): Compressor[] {
  const names = Object.hasOwn(PRESETS, preset) ? PRESETS[preset] : undefined;
  if (!names)
    throw new ConfigurationError('preset', preset, `give one of ${Object.keys(PRESETS).join(', ')}`);
  return names.map((name) => STAGES[name]!());
}

/** @throws ConfigurationError for a stage that does not exist, or anything that is not a stage */
export function resolveStages(stages: readonly (string | Compressor)[]): Compressor[] {
  return stages.map((stage, index) => {
    if (typeof stage === 'string') {
      const make = Object.hasOwn(STAGES, stage) ? STAGES[stage] : undefined;
      if (make) return make();
    } else if (
      typeof (stage as Partial<Compressor> | null)?.compress === 'function' &&
      typeof stage.name === 'string'
    ) {
      return stage;
    }
    const known = Object.keys(STAGES).join(', ');
    throw new ConfigurationError(`stages[${index}]`, stage, `give ${known} or an object { name, compress }`);
  });
}
