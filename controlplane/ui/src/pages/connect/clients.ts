// How each client is pointed at this gateway: what to copy, which of its caller's models it can use.

/** A family of endpoints, as the models list names it. */
export type Flag = 'openai_chat' | 'openai_responses' | 'anthropic_messages' | 'gemini_generate_content';

export interface Setup {
  /** Where the gateway is, without a slash at the end. */
  base: string;
  model: string;
  /** A variable of the shell that holds a token of the gateway; without one, the network says who calls. */
  token: boolean;
}

export interface Step {
  /** What is done with it: a file to edit, a shell. */
  title: string;
  text: string;
}

export interface Client {
  id: string;
  name: string;
  group: 'Coding agents' | 'Libraries' | 'Elsewhere';
  /** What it speaks, the preferred first. */
  flags: readonly Flag[];
  /** One sentence that saves an hour; may be empty. */
  note: string;
  steps: (setup: Setup) => Step[];
}

const TOKEN = 'SLUICE_TOKEN';
/** A key for clients that insist on one: the gateway drops it. */
const key = ({ token }: Setup) => (token ? `$${TOKEN}` : 'anything');

/** A text as one word of a POSIX shell. */
export function quote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

const text = (value: string) => JSON.stringify(value);

export const clients: readonly Client[] = [
  {
    id: 'claude-code',
    name: 'Claude Code',
    group: 'Coding agents',
    flags: ['anthropic_messages'],
    note: 'It insists on a token; any will do where the network says who you are.',
    steps: setup => [
      {
        title: 'Shell',
        text: [
          `export ANTHROPIC_BASE_URL=${setup.base}`,
          `export ANTHROPIC_AUTH_TOKEN=${key(setup)}`,
          `claude --model ${quote(setup.model)}`,
        ].join('\n'),
      },
      {
        title: '~/.claude/settings.json, to keep it',
        text: `${JSON.stringify(
          {
            env: {
              ANTHROPIC_BASE_URL: setup.base,
              ANTHROPIC_AUTH_TOKEN: setup.token ? 'your token' : 'anything',
            },
          },
          null,
          2,
        )}\n`,
      },
    ],
  },
  {
    id: 'codex',
    name: 'Codex',
    group: 'Coding agents',
    flags: ['openai_responses'],
    note: 'The variable OPENAI_BASE_URL is ignored by Codex: it wants a provider in its configuration.',
    steps: setup => [
      {
        title: '~/.codex/config.toml',
        text: [
          `model = ${text(setup.model)}`,
          'model_provider = "sluice"',
          '',
          '[model_providers.sluice]',
          'name = "sluice"',
          `base_url = "${setup.base}/v1"`,
          'wire_api = "responses"',
          ...(setup.token ? [`env_key = "${TOKEN}"`] : []),
        ].join('\n'),
      },
      { title: 'Shell', text: 'codex' },
    ],
  },
  {
    id: 'gemini-cli',
    name: 'Gemini CLI',
    group: 'Coding agents',
    flags: ['gemini_generate_content'],
    note: 'It asks a small model which model to use, so that one has to be granted, too.',
    steps: setup => [
      {
        title: 'Shell',
        text: [
          `export GOOGLE_GEMINI_BASE_URL=${setup.base}`,
          `export GEMINI_API_KEY=${key(setup)}`,
          `gemini --model ${quote(setup.model)}`,
        ].join('\n'),
      },
    ],
  },
  {
    id: 'opencode',
    name: 'opencode',
    group: 'Coding agents',
    flags: ['openai_chat', 'openai_responses', 'anthropic_messages'],
    note: '',
    steps: setup => [
      {
        title: 'opencode.json',
        text: `${JSON.stringify(
          {
            $schema: 'https://opencode.ai/config.json',
            provider: {
              sluice: {
                npm: '@ai-sdk/openai-compatible',
                name: 'Sluice',
                options: { baseURL: `${setup.base}/v1`, apiKey: setup.token ? `{env:${TOKEN}}` : 'anything' },
                models: { [setup.model]: {} },
              },
            },
            model: `sluice/${setup.model}`,
          },
          null,
          2,
        )}\n`,
      },
    ],
  },
  {
    id: 'cursor',
    name: 'Cursor',
    group: 'Coding agents',
    flags: ['openai_chat'],
    note: 'Cursor calls from its own servers: this address has to be reachable for them, and they need a token.',
    steps: setup => [
      {
        title: 'Settings → Models → OpenAI API key',
        text: [
          'OpenAI API key:            a token of this gateway',
          `Override OpenAI base URL:  ${setup.base}/v1`,
          `Add model:                 ${setup.model}`,
        ].join('\n'),
      },
    ],
  },
  {
    id: 'openai-python',
    name: 'OpenAI, Python',
    group: 'Libraries',
    flags: ['openai_chat', 'openai_responses'],
    note: '',
    steps: setup => [
      {
        title: 'Python',
        text: [
          ...(setup.token ? ['import os', ''] : []),
          'from openai import OpenAI',
          '',
          `client = OpenAI(base_url=${text(`${setup.base}/v1`)}, api_key=${setup.token ? `os.environ["${TOKEN}"]` : '"anything"'})`,
          'answer = client.chat.completions.create(',
          `    model=${text(setup.model)},`,
          '    messages=[{"role": "user", "content": "Hello"}],',
          ')',
          'print(answer.choices[0].message.content)',
        ].join('\n'),
      },
    ],
  },
  {
    id: 'openai-js',
    name: 'OpenAI, JavaScript',
    group: 'Libraries',
    flags: ['openai_chat', 'openai_responses'],
    note: '',
    steps: setup => [
      {
        title: 'JavaScript',
        text: [
          'import OpenAI from "openai";',
          '',
          `const client = new OpenAI({ baseURL: ${text(`${setup.base}/v1`)}, apiKey: ${setup.token ? `process.env.${TOKEN}` : '"anything"'} });`,
          'const answer = await client.chat.completions.create({',
          `  model: ${text(setup.model)},`,
          '  messages: [{ role: "user", content: "Hello" }],',
          '});',
          'console.log(answer.choices[0].message.content);',
        ].join('\n'),
      },
    ],
  },
  {
    id: 'anthropic-python',
    name: 'Anthropic, Python',
    group: 'Libraries',
    flags: ['anthropic_messages'],
    note: '',
    steps: setup => [
      {
        title: 'Python',
        text: [
          ...(setup.token ? ['import os', ''] : []),
          'from anthropic import Anthropic',
          '',
          `client = Anthropic(base_url=${text(setup.base)}, api_key=${setup.token ? `os.environ["${TOKEN}"]` : '"anything"'})`,
          'answer = client.messages.create(',
          `    model=${text(setup.model)},`,
          '    max_tokens=256,',
          '    messages=[{"role": "user", "content": "Hello"}],',
          ')',
          'print(answer.content[0].text)',
        ].join('\n'),
      },
    ],
  },
  {
    id: 'google-python',
    name: 'Google Gen AI, Python',
    group: 'Libraries',
    flags: ['gemini_generate_content'],
    note: '',
    steps: setup => [
      {
        title: 'Python',
        text: [
          ...(setup.token ? ['import os', ''] : []),
          'from google import genai',
          'from google.genai.types import HttpOptions',
          '',
          'client = genai.Client(',
          `    api_key=${setup.token ? `os.environ["${TOKEN}"]` : '"anything"'},`,
          `    http_options=HttpOptions(base_url=${text(setup.base)}),`,
          ')',
          `answer = client.models.generate_content(model=${text(setup.model)}, contents="Hello")`,
          'print(answer.text)',
        ].join('\n'),
      },
    ],
  },
  {
    id: 'curl',
    name: 'curl',
    group: 'Elsewhere',
    flags: ['openai_chat', 'anthropic_messages', 'openai_responses', 'gemini_generate_content'],
    note: '',
    steps: setup => [{ title: 'Shell', text: curl(setup) }],
  },
  {
    id: 'ci',
    name: 'CI job',
    group: 'Elsewhere',
    flags: ['openai_chat', 'anthropic_messages'],
    note: 'A job that no network knows shows a token: make one below, and keep it as a secret of the CI.',
    steps: setup => [
      {
        title: 'Where the gateway runs, or on the page Tokens',
        text: `sluice token create --tag tag:ci --models ${quote(`**/${setup.model}`)} --expires 90d`,
      },
      {
        title: 'GitHub Actions',
        text: [
          'env:',
          `  OPENAI_BASE_URL: ${setup.base}/v1`,
          `  OPENAI_API_KEY: \${{ secrets.${TOKEN} }}`,
          `  ANTHROPIC_BASE_URL: ${setup.base}`,
          `  ANTHROPIC_AUTH_TOKEN: \${{ secrets.${TOKEN} }}`,
        ].join('\n'),
      },
    ],
  },
];

function curl(setup: Setup): string {
  const authorization = setup.token ? ` \\\n     -H "authorization: Bearer $${TOKEN}"` : '';
  const body = JSON.stringify({ model: setup.model, messages: [{ role: 'user', content: 'Hello' }] });
  return `curl ${setup.base}/v1/chat/completions -H 'content-type: application/json'${authorization} \\\n     -d ${quote(body)}`;
}

/** A model of a client's list: those that it can speak to first, in the order of their endpoints' preference. */
export function usable<M extends { model: string; flags: readonly string[] }>(
  client: Client,
  models: readonly M[],
): M[] {
  return models.filter(model => client.flags.some(flag => model.flags.includes(flag)));
}
