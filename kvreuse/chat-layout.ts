import type { ChatTemplate } from '../models/decoder/chat-template.js';
import type { ChatMessage } from '../models/decoder/generation.js';
import { chunkSpans } from './chunk-spans.js';
import { PromptLayout, type PromptPiece } from './prompt-layout.js';

/** Shorter ones are computed each time: what a cache saves would not pay for it. */
const SHORTEST = 16;

/**
 * A conversation as a prefix, chunks and links: chunks in its messages but for the model's own, each turned to tokens by
 * itself, so that its tokens are the same whatever stands beside it.
 */
export function chatLayout(template: ChatTemplate, messages: readonly ChatMessage[]): PromptLayout {
  const cuts = messages.map(({ role, content }) =>
    role === 'user' ? chunkSpans(content).flatMap(({ start, end }) => [start, end]) : [],
  );
  const tokens = template.encodeInPieces(messages, (_, message) => cuts[message]!);
  const pieces: PromptPiece[] = [];
  // Between two cuts, by turns.
  tokens.forEach((piece, i) => {
    const isChunk = i % 2 === 1 && piece.length >= SHORTEST;
    const last = pieces.at(-1);
    if (isChunk) pieces.push({ kind: 'chunk', tokens: piece });
    else if (last && last.kind !== 'chunk')
      pieces[pieces.length - 1] = { ...last, tokens: [...last.tokens, ...piece] };
    else pieces.push({ kind: last ? 'link' : 'prefix', tokens: piece });
  });
  return new PromptLayout(pieces);
}
