// Short forms of figures; the exact ones belong beside them, on hover.

const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
const exact = new Intl.NumberFormat('en');

/** A count as it is: `12,345`. */
export const count = (value: number): string => exact.format(value);

/** A count in few characters: `12.3K`; exact up to 9,999. */
export const short = (value: number): string => (Math.abs(value) < 10_000 ? exact.format(value) : compact.format(value));

/** Nanodollars in few digits: `$12.34`, `$0.0129`, `$0.000004`; 0 is `$0`. */
export function usd(nano: number): string {
  const value = nano / 1e9;
  const size = Math.abs(value);
  if (size === 0) return '$0';
  const digits = size >= 100 ? 0 : size >= 1 ? 2 : Math.min(9, Math.max(2, 1 - Math.floor(Math.log10(size))));
  return `${value < 0 ? '−' : ''}$${new Intl.NumberFormat('en', { minimumFractionDigits: Math.min(digits, 2), maximumFractionDigits: digits }).format(size)}`;
}

/** Microseconds: `840 µs`, `12 ms`, `3.4 s`, `2 min 5 s`, `1 h 4 min`. */
export function duration(us: number): string {
  const size = Math.max(0, us);
  if (size < 1000) return `${Math.round(size)} µs`;
  const ms = size / 1000;
  if (ms < 999.5) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 59.95) return `${s < 10 ? s.toFixed(2) : s.toFixed(1)} s`;
  const seconds = Math.round(s);
  const pair = (a: number, unit: string, b: number, small: string) => (b === 0 ? `${a} ${unit}` : `${a} ${unit} ${b} ${small}`);
  if (seconds < 3600) return pair(Math.floor(seconds / 60), 'min', seconds % 60, 's');
  const minutes = Math.round(seconds / 60);
  if (minutes < 1440) return pair(Math.floor(minutes / 60), 'h', minutes % 60, 'min');
  const hours = Math.round(minutes / 60);
  return pair(Math.floor(hours / 24), 'd', hours % 24, 'h');
}

/** Bytes: `840 B`, `12.3 KB`, `4.5 MB`. */
export function bytes(size: number): string {
  if (size < 1000) return `${size} B`;
  for (const [unit, scale] of [['KB', 1e3], ['MB', 1e6], ['GB', 1e9]] as const) {
    if (size < scale * 999.5) return `${(size / scale).toFixed(size / scale < 10 ? 1 : 0)} ${unit}`;
  }
  return `${(size / 1e12).toFixed(1)} TB`;
}

/** What the gateway's words for formats, ends and clients mean to a reader. */
export const API_NAMES: Readonly<Record<string, string>> = {
  openai_chat: 'OpenAI chat',
  openai_completions: 'OpenAI completions',
  openai_responses: 'OpenAI responses',
  openai_embeddings: 'OpenAI embeddings',
  openai_images: 'OpenAI images',
  openai_audio: 'OpenAI audio',
  openai_moderations: 'OpenAI moderations',
  openai_rerank: 'Rerank',
  anthropic_messages: 'Anthropic messages',
  anthropic_count_tokens: 'Anthropic token count',
  gemini_generate_content: 'Gemini',
  gemini_count_tokens: 'Gemini token count',
  gemini_embed_content: 'Gemini embeddings',
  google_generate_content: 'Vertex',
  google_count_tokens: 'Vertex token count',
  google_predict: 'Vertex predict',
  google_raw_predict: 'Vertex, raw',
  bedrock_model_invoke: 'Bedrock invoke',
  bedrock_converse: 'Bedrock Converse',
  bedrock_count_tokens: 'Bedrock token count',
  ollama_chat: 'Ollama',
  ollama_embed: 'Ollama embeddings',
};

export const ENDS: Readonly<Record<string, { label: string; what: string; tone: 'good' | 'warn' | 'bad' }>> = {
  complete: { label: 'complete', what: 'The whole answer reached the client, errors of the provider included.', tone: 'good' },
  client_gone: { label: 'client left', what: 'The client closed the connection before the answer ended.', tone: 'warn' },
  upstream_failed: { label: 'provider failed', what: 'The provider failed before the answer ended.', tone: 'bad' },
  cut_by_quota: { label: 'cut by budget', what: 'A budget ran out in the middle of the answer.', tone: 'warn' },
  blocked: { label: 'blocked', what: 'The gateway refused it: access, a budget, a guardrail or a hook.', tone: 'warn' },
  aborted: { label: 'aborted', what: 'The process died while the request ran.', tone: 'bad' },
};

export const KNOWN: Readonly<Record<string, { label: string; what: string }>> = {
  reported: { label: 'reported', what: 'The provider stated the counts.' },
  partial: { label: 'partial', what: 'The answer was cut; the counts are those stated until then.' },
  estimated: { label: 'estimated', what: 'The provider stated no counts; the gateway computed them.' },
  unknown: { label: 'unknown', what: 'Nothing is known of the counts.' },
};

/** The name of a client's software. */
export const CLIENTS: Readonly<Record<string, string>> = {
  'claude-code': 'Claude Code',
  codex: 'Codex',
  'gemini-cli': 'Gemini CLI',
  aider: 'Aider',
  litellm: 'LiteLLM',
  copilot: 'Copilot',
  'openai-sdk': 'OpenAI SDK',
  'anthropic-sdk': 'Anthropic SDK',
  'google-sdk': 'Google SDK',
  'groq-sdk': 'Groq SDK',
  'mistral-sdk': 'Mistral SDK',
  'vercel-sdk': 'Vercel AI SDK',
  unknown: 'Unknown client',
  other: 'Other client',
};

export const clientName = (client: string): string => CLIENTS[client] ?? client;

/** The tone of a status: of answers, of refusals, of failures. */
export function statusTone(status: number): 'good' | 'warn' | 'bad' | 'neutral' {
  if (status === 0) return 'neutral';
  if (status < 400) return 'good';
  return status < 500 ? 'warn' : 'bad';
}
