export async function benchZipfit(): Promise<undefined> {
  return undefined;
}
