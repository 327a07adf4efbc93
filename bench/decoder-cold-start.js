// From nothing to a first token, then memory after a long prompt. Prints one line of JSON for each.
import { Decoder, readerMessages } from 'ragpress/models';

const decoder = await Decoder.load();
const messages = readerMessages(
  'How many cars does she carry?',
  '[1] Corran ferry\nThe ferry carries 28 cars.',
);
for await (const piece of decoder.generate({ messages }, { maxTokens: 4 })) {
  if (piece !== '') break;
}
console.log(JSON.stringify({ first: true }));
const tokens = Array.from({ length: 700 }, (_, i) => 1000 + ((i * 37) % 20_000));
await decoder.generate({ tokens }, { maxTokens: 32 }).result;
console.log(JSON.stringify({ rss: process.memoryUsage.rss() }));
await decoder.close();
