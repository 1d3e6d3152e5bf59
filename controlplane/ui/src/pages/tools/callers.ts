/** Calls by person, the one with most first. */
export function callers(
  calls: readonly { user: string; name: string }[],
): { user: string; calls: number; tools: number }[] {
  const found = new Map<string, { calls: number; names: Set<string> }>();
  for (const { user, name } of calls) {
    const of = found.get(user) ?? { calls: 0, names: new Set<string>() };
    of.calls += 1;
    of.names.add(name);
    found.set(user, of);
  }
  return [...found]
    .map(([user, { calls: times, names }]) => ({ user, calls: times, tools: names.size }))
    .sort((a, b) => b.calls - a.calls || a.user.localeCompare(b.user));
}

/** Arguments as they are shown: indented if they are whole JSON, else as they came. */
export function shownArguments(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2) ?? text;
  } catch {
    return text;
  }
}
