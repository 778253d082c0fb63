/** Names and values as a process receives them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The environment of this process. Nothing outside this folder reads it. */
export function environment(): Environment {
  return { ...process.env };
}

/** What a name stands for; an empty value counts as not set. */
export function valueIn(env: Environment, name: string): string | undefined {
  const text = env[name];
  return text === '' ? undefined : text;
}
