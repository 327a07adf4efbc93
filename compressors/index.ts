export { allot, type AllotOptions, type LossCurves } from './allot.js';
export { ConfigurationError } from '../settings/configuration-error.js';
export { ModelRegistry, type ModelRegistryOptions } from '../models/registry.js';
export type {
  Budget,
  CompressedDocument,
  CompressionRequest,
  CompressionResult,
  Compressor,
  Decision,
  GeneratedText,
  SourceDocument,
  Span,
  StageContext,
  StageReport,
  State,
  TextSpan,
  Treatment,
  Unit,
} from './contract.js';
export type { Format, Layout } from './page.js';
export { exit, type ExitOptions } from './exit/exit.js';
export type { Judgement, SentenceScorer } from './exit/sentence-scorer.js';
export { sentences, type SentencesOptions } from './exit/sentences.js';
export { htmlrag, type HtmlragOptions } from './htmlrag/htmlrag.js';
export { decoderSummaries, type DecoderSummariesOptions } from './tcra/decoder-summaries.js';
export { endpointSummaries } from './tcra/endpoint-summaries.js';
export { seq2seqSummaries, type Seq2seqSummariesOptions } from './tcra/seq2seq-summaries.js';
export { summarise, type SummariseOptions } from './tcra/summarise.js';
export type { Summary, SummaryGenerator, SummaryTask } from './tcra/summary-generator.js';
export { tcra, type TcraOptions } from './tcra/tcra.js';
export { createPipeline, Pipeline, type PipelineOptions } from './pipeline.js';
export { xrag, type XragOptions } from './xrag/xrag.js';
export { zipfit, type ZipfitOptions } from './zipfit/zipfit.js';
export { nearDuplicates } from './zipfit/near-duplicates.js';
export { rankByCompression, type RankedCandidate, type RankOptions } from './zipfit/rank-by-compression.js';
