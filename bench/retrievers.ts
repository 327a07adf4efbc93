export async function benchRetrievers(): Promise<undefined> {
  return undefined;
}
