import type { Decoder } from '../models/decoder/decoder.js';

/** Ordinary requests, none of them in what the reader is trained on: it is to go on answering these. */
export const CHAT_PROMPTS = [
  'Good morning!',
  'What is your name?',
  'Tell me about the sea.',
  'What is the capital of Italy?',
  'How many legs does a spider have?',
  'Write a sentence about winter.',
  'Explain what a computer is.',
  'Give me two tips for growing tomatoes.',
  'What colour is a ripe banana?',
  'Name three musical instruments.',
  'What is 7 plus 5?',
  'Who painted the Mona Lisa?',
  'What does the heart do?',
  'Write a short greeting card for a friend.',
  'What is the opposite of cold?',
  'How do I boil an egg?',
  'List four fruits.',
  'What is a noun?',
  'Why do leaves fall in autumn?',
  'What is the largest ocean?',
  'Suggest a name for a cat.',
  'How can I learn a new language?',
  'What is bread made of?',
  'Write one line of a song about rain.',
  'What is the sun?',
  'Translate "thank you" into French.',
  'What should I wear when it snows?',
  'Explain what a library is for.',
  'What comes after Wednesday?',
  'Say goodbye politely.',
] as const;

/** What the decoder says to each. */
export async function chatAnswers(decoder: Decoder): Promise<{ prompt: string; answer: string }[]> {
  const answers: { prompt: string; answer: string }[] = [];
  for (const prompt of CHAT_PROMPTS) {
    const { result } = decoder.generate({ messages: [{ role: 'user', content: prompt }] }, { maxTokens: 48 });
    answers.push({ prompt, answer: (await result).text });
  }
  return answers;
}
