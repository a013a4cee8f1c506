/** A name that nothing else has; unlike randomUUID this works without https, too. */
export function freshKey(): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join("-");
}
