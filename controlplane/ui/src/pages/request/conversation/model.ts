// What a call's request and answer say, in words that fit every API.

/** Who says something. `other`: a role that no API here has. */
export type Role = 'system' | 'user' | 'assistant' | 'tool' | 'other';

export interface TextBlock {
  kind: 'text';
  text: string;
}

export interface ThinkingBlock {
  kind: 'thinking';
  /** Empty where the provider keeps it to itself. */
  text: string;
  /** It was made, and is not shown: encrypted or redacted. */
  hidden: boolean;
}

/** What a tool gave back. */
export interface ToolResult {
  blocks: Block[];
  error: boolean;
}

export interface CallBlock {
  kind: 'call';
  /** The provider's id; empty if it gives none. */
  id: string;
  name: string;
  /** JSON text, or free text for tools that take some. */
  arguments: string;
  /** Run by the provider, not by the client. */
  hosted: boolean;
  /** `null`: not (yet) in what is shown. */
  result: ToolResult | null;
}

/** A result whose call is not there. */
export interface ResultBlock {
  kind: 'result';
  id: string;
  name: string;
  result: ToolResult;
}

export interface MediaBlock {
  kind: 'media';
  media: 'image' | 'audio' | 'video' | 'file';
  /** Name, type or address, as stated; may be empty. */
  label: string;
  /** Size, if the bytes are in the body. */
  bytes: number | null;
}

export interface ErrorBlock {
  kind: 'error';
  code: string;
  text: string;
}

/** Something that is said in a way that is not known here, or is no talk: shown as JSON. */
export interface DataBlock {
  kind: 'data';
  label: string;
  value: unknown;
}

export type Block = TextBlock | ThinkingBlock | CallBlock | ResultBlock | MediaBlock | ErrorBlock | DataBlock;

export interface Turn {
  role: Role;
  /** As the API names the role, if that is another word; or the name of who speaks. */
  name: string;
  blocks: Block[];
  /** It stands in the answer, not in the request. */
  answered: boolean;
  /** The provider's word for why it ended; of answers only. */
  stop: string;
}

/** A tool that the request offers. */
export interface OfferedTool {
  name: string;
  description: string;
  /** The whole definition. */
  value: unknown;
}

export interface Conversation {
  turns: Turn[];
  tools: OfferedTool[];
  /** Members of the request that are no talk: `temperature`, `max_tokens`. */
  settings: [name: string, value: unknown][];
}
