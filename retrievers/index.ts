export { Bm25Retriever, type Bm25Options } from './bm25.js';
export { decodeText, type DecodedText } from './decode.js';
export { readFolder, type FolderContents, type FolderOptions } from './folder.js';
export type { Retriever, RetrieveOptions } from './retriever.js';
