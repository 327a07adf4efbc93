import type { Passage } from '../passage.js';
import { opensLine, readTag, titleAndUrl, type Tag } from './tag.js';

/**
 * Open WebUI: `<source id="1" name="guide.md">…</source>`, one after the other. Its instructions to the model speak
 * of `<source id="1">` as well, in the middle of a line. Of two opening tags before a closing one the inner counts,
 * so that one which is never closed takes nothing with it.
 */
export function findSources(text: string): Passage[] {
  const passages: Passage[] = [];
  let opening: { start: number; tag: Tag } | undefined;
  for (const { index, 0: marker } of text.matchAll(/<source|<\/source>/g)) {
    if (marker === '<source') {
      const tag = opensLine(text, index) ? readTag(text, index, marker) : undefined;
      if (tag?.attributes.has('id')) opening = { start: index, tag };
    } else if (opening) {
      const { start, tag } = opening;
      passages.push({
        outer: { start, end: index + marker.length },
        inner: { start: tag.end, end: index },
        ...titleAndUrl(tag.attributes.get('name')),
      });
      opening = undefined;
    }
  }
  return passages;
}
