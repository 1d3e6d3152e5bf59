/** What to paste so that a client calls this gateway. */
export interface Snippet {
  id: string;
  label: string;
  text: string;
}

/** A text as one word of a POSIX shell. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** A model, as far as it matters for a first call. */
export interface Offered {
  model: string;
  granted: boolean;
  providers: readonly { endpoints: readonly string[] }[];
}

/** The call that works with any gateway that serves OpenAI's models; the mock answers it as well. */
const PLAIN = { model: 'gpt-5.5', messages: [{ role: 'user', content: 'hi' }] };

/** Ways to make a first request: plain curl (`call`, if one is known that works here), three coding agents, an SDK's variables. */
export function firstSnippets(origin: string, call: string | undefined): readonly Snippet[] {
  const plain = `curl ${origin}/v1/chat/completions \\
  -H 'content-type: application/json' \\
  -d ${shellWord(JSON.stringify(PLAIN))}`;
  return [
    { id: 'curl', label: 'curl', text: call ?? plain },
    {
      id: 'claude-code',
      label: 'Claude Code',
      text: `ANTHROPIC_BASE_URL=${origin} ANTHROPIC_AUTH_TOKEN=anything claude`,
    },
    { id: 'codex', label: 'Codex', text: `codex -c 'openai_base_url="${origin}/v1"'` },
    {
      id: 'gemini-cli',
      label: 'Gemini CLI',
      text: `GOOGLE_GEMINI_BASE_URL=${origin} GEMINI_API_KEY=anything gemini`,
    },
    {
      id: 'openai',
      label: 'OpenAI SDK',
      text: `export OPENAI_BASE_URL=${origin}/v1\nexport OPENAI_API_KEY=anything`,
    },
  ];
}
