// What the gateway's words mean to a reader.

/** Formats of calls. */
export const API_NAMES: Readonly<Record<string, string>> = {
  anthropic_messages: 'Anthropic messages',
  anthropic_count_tokens: 'Anthropic token count',
  openai_chat: 'OpenAI chat',
  openai_responses: 'OpenAI responses',
  openai_completions: 'OpenAI completions',
  openai_embeddings: 'OpenAI embeddings',
  openai_images: 'OpenAI images',
  openai_audio: 'OpenAI audio',
  openai_moderations: 'OpenAI moderations',
  openai_rerank: 'Rerank',
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

/** How requests end. */
export const ENDS: Readonly<Record<string, string>> = {
  complete: 'Complete',
  client_gone: 'Client left',
  upstream_failed: 'Provider failed',
  cut_by_quota: 'Cut by a budget',
  blocked: 'Blocked',
  aborted: 'Aborted',
};

/** How counts of tokens are known. */
export const KNOWN: Readonly<Record<string, { label: string; what: string }>> = {
  reported: { label: 'reported', what: 'The provider stated the counts.' },
  partial: { label: 'partial', what: 'The answer was cut; the counts are those stated until then.' },
  estimated: { label: 'estimated', what: 'The provider stated no counts; the gateway computed them.' },
  unknown: { label: 'unknown', what: 'Nothing is known of the counts.' },
};

const CLIENTS: Readonly<Record<string, string>> = {
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

/** The name of a client's software. */
export const clientName = (client: string): string => CLIENTS[client] ?? client;
