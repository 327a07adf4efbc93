export async function benchHtmlrag(): Promise<undefined> {
  return undefined;
}
