// Memory over a thousand requests, or as many as it is told, each of six of many documents. Prints a line of JSON ten times.
import { ChunkDecoder } from 'ragpress/kvreuse';
import { readerMessages } from 'ragpress/models';

const REQUESTS = Number(process.argv[2] ?? 1_000);
const DOCUMENTS = 70; // as many as nearly fill the store
const WORDS = [
  'ferry',
  'harbour',
  'fare',
  'island',
  'captain',
  'timetable',
  'winter',
  'crossing',
  'bridge',
  'cargo',
];

// A generator of its own: the same documents each time.
let state = 7;
const random = (below) => {
  state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
  return (state >>> 8) % below;
};
const documents = Array.from(
  { length: DOCUMENTS },
  (_, i) =>
    `Page ${i}\n${Array.from({ length: 90 + random(160) }, () => WORDS[random(WORDS.length)]).join(' ')}.`,
);

const decoder = await ChunkDecoder.load({ reuse: { memoryMegabytes: 192, readyMegabytes: 64 } });
for (let request = 1; request <= REQUESTS; request++) {
  const context = Array.from({ length: 6 }, (_, i) => `[${i + 1}] ${documents[random(DOCUMENTS)]}`).join(
    '\n\n',
  );
  await decoder.generate({ messages: readerMessages('Where is it?', context) }, { maxTokens: 1 }).result;
  if (request % Math.ceil(REQUESTS / 10) === 0)
    console.log(JSON.stringify({ requests: request, rssMb: process.memoryUsage.rss() / 1e6 }));
}
await decoder.close();
