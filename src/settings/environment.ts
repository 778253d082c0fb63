/** Names and values as a process receives them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The environment of this process. Nothing outside this folder reads it. */
export function environment(): Environment {
  return { ...process.env };
}
