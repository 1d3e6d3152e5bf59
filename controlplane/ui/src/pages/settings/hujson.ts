// The text of the document: read, and changed in place, so that comments and the order of keys stay.
import {
  applyEdits,
  findNodeAtLocation,
  getLocation,
  type JSONPath,
  modify,
  type ParseError,
  parse,
  parseTree,
} from 'jsonc-parser';
import { at, keysAt, type Path, valuesOf } from './schema';

const lenient = { allowTrailingComma: true, disallowComments: false } as const;

/** What the text says; `undefined` where it is not a document at all. */
export function read(text: string): { value: unknown; broken: boolean } {
  const errors: ParseError[] = [];
  const value: unknown = parse(text, errors, lenient);
  return { value, broken: errors.length > 0 };
}

/** The value at a path of something that was read. */
export function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((found, step) => {
    if (found === null || typeof found !== 'object') return undefined;
    return Object.hasOwn(found, step) ? (found as Record<string | number, unknown>)[step] : undefined;
  }, value);
}

const formattingOptions = { insertSpaces: true, tabSize: 2, eol: '\n' };

/** The text with the value at a path set, or, for `undefined`, removed. */
export function set(text: string, path: Path, value: unknown): string {
  if (value === undefined) return remove(text, path);
  return applyEdits(text, modify(text, path as JSONPath, value, { formattingOptions }));
}

/** A comma, and the comments before it. */
const COMMA = /^(?:\s|\/\/[^\n]*\n|\/\*[\s\S]*?\*\/)*,/;

/** A trailing comma may stay behind, which HuJSON permits; a comment behind the entry goes with its line. */
function remove(text: string, path: Path): string {
  const tree = parseTree(text, [], lenient);
  const value = tree && findNodeAtLocation(tree, path as JSONPath);
  const gone = value?.parent?.type === 'property' ? value.parent : value;
  if (gone === undefined) return text;
  let start = gone.offset;
  let end = gone.offset + gone.length;
  end += COMMA.exec(text.slice(end))?.[0].length ?? 0;
  // An entry that has lines of its own takes them along.
  const before = /[ \t]*$/.exec(text.slice(0, start))?.[0].length ?? 0;
  const after = /^[ \t]*(\/\/[^\n]*)?\n/.exec(text.slice(end))?.[0].length ?? 0;
  if (after > 0 && (start - before === 0 || text[start - before - 1] === '\n')) {
    start -= before;
    end += after;
  }
  return text.slice(0, start) + text.slice(end);
}

/** The text with an entry at the end of a list. */
export function append(text: string, path: Path, value: unknown): string {
  const list = valueAt(read(text).value, path);
  if (!Array.isArray(list)) return set(text, path, [value]);
  return applyEdits(
    text,
    modify(text, [...path, list.length] as JSONPath, value, { formattingOptions, isArrayInsertion: true }),
  );
}

/** The text with a key of an object called otherwise; its place, its value and their comments stay. */
export function rename(text: string, path: Path, name: string): string {
  const tree = parseTree(text, [], lenient);
  const value = tree && findNodeAtLocation(tree, path as JSONPath);
  const key = value?.parent?.type === 'property' ? value.parent.children?.[0] : undefined;
  if (key === undefined) return text;
  return text.slice(0, key.offset) + JSON.stringify(name) + text.slice(key.offset + key.length);
}

/** Where in the text a path stands, as a line from 1; `null` if it does not. */
export function lineOf(text: string, path: Path): number | null {
  const tree = parseTree(text, [], lenient);
  const node = tree && findNodeAtLocation(tree, path as JSONPath);
  return node === undefined ? null : text.slice(0, node.offset).split('\n').length;
}

export interface Completion {
  label: string;
  /** What is put in, quotes included. */
  text: string;
  kind: 'key' | 'value' | 'example';
  description?: string;
  detail?: string;
}

/** What can stand at a place of the text, and from where on it is replaced. */
export function complete(text: string, offset: number): { from: number; options: Completion[] } | null {
  const location = getLocation(text, offset);
  const previous = location.previousNode;
  const inside =
    previous !== undefined && offset >= previous.offset && offset <= previous.offset + previous.length;
  const word = /[\w-]*$/.exec(text.slice(0, offset))?.[0] ?? '';
  const from = inside ? previous.offset : offset - word.length;
  if (location.isAtPropertyKey) {
    const parent = location.path.slice(0, -1);
    const present = Object.keys((valueAt(read(text).value, parent) as object | undefined) ?? {});
    const typed = location.path.at(-1);
    const options = keysAt(parent)
      .filter(({ key }) => key === typed || !present.includes(key))
      .map(({ key, node }): Completion => {
        const value = inside && /^\s*:/.test(text.slice(previous.offset + previous.length)) ? '' : ': ';
        return {
          label: key,
          text: `${JSON.stringify(key)}${value}`,
          kind: 'key',
          description: node.description,
          detail: node.default === undefined ? undefined : `default ${JSON.stringify(node.default)}`,
        };
      });
    return options.length === 0 ? null : { from, options };
  }
  const options = valuesOf(at(location.path)).map(
    ({ value, example }): Completion => ({
      label: typeof value === 'string' ? value : JSON.stringify(value),
      text: JSON.stringify(value),
      kind: example ? 'example' : 'value',
      detail: example ? 'example' : undefined,
    }),
  );
  return options.length === 0 ? null : { from, options };
}

/** What the schema says of the key or value at a place. */
export function describe(text: string, offset: number): { path: string; description: string } | null {
  const { path } = getLocation(text, offset);
  const description = at(path).find(node => node.description !== undefined)?.description;
  return description === undefined || path.length === 0 ? null : { path: show(path), description };
}

/** A path as people write it: `providers.openai.models[0]`. */
export function show(path: Path): string {
  return path
    .map((step, index) => {
      if (typeof step === 'number') return `[${step}]`;
      if (!/^[\w$-]+$/.test(step)) return `[${JSON.stringify(step)}]`;
      return index === 0 ? step : `.${step}`;
    })
    .join('');
}
