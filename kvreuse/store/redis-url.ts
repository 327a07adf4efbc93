/** An address without what stands before its `@`, or is called a password in it: it may go into messages. */
export function withoutPassword(text: string): string {
  return text
    .replace(/^(\w+:\/\/)?[\s\S]*@/, '$1***@')
    .replace(/([?&](?:password|username)=)[^&]*/gi, '$1***');
}

export function isRedisUrl(text: string): boolean {
  return /^rediss?:\/\/./.test(text) && URL.canParse(text);
}
