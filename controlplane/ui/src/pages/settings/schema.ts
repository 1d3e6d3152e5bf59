// The schema of the configuration document: the same file that editors are given, walked by path.
import source from '../../../../../docs/sluice.schema.json';

/** A node of the schema, as far as it is used. */
export interface Node {
  type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean' | 'null';
  $ref?: string;
  anyOf?: Node[];
  enum?: (string | number | boolean)[];
  properties?: Record<string, Node>;
  additionalProperties?: Node | boolean;
  required?: string[];
  items?: Node;
  description?: string;
  default?: unknown;
  examples?: unknown[];
  pattern?: string;
  minimum?: number;
  maximum?: number;
}

export type Path = readonly (string | number)[];

const root = source as unknown as Node & { $defs: Record<string, Node> };

/** Follows a reference; what is said beside it goes first. */
export function follow(node: Node): Node {
  if (node.$ref === undefined) return node;
  const found = root.$defs[node.$ref.replace('#/$defs/', '')] ?? {};
  const { $ref: _, ...beside } = node;
  return { ...follow(found), ...beside };
}

/** The sections of the document: its keys at the top, but for those that do nothing. */
export const sections: readonly { key: string; node: Node }[] = Object.entries(root.properties ?? {})
  .filter(([key, node]) => key !== '$schema' && !/Deprecated|No effect/.test(node.description ?? ''))
  .map(([key, node]) => ({ key, node: follow(node) }));

/** The alternatives of a node, itself if it has none. */
export function alternatives(node: Node): Node[] {
  const followed = follow(node);
  return followed.anyOf === undefined ? [followed] : followed.anyOf.flatMap(alternatives);
}

/** What stands below a key or an index of a node, in any of its alternatives. */
export function below(node: Node, step: string | number): Node[] {
  return alternatives(node).flatMap(one => {
    if (typeof step === 'number') return one.items === undefined ? [] : [follow(one.items)];
    const property = one.properties?.[step];
    if (property !== undefined) return [follow(property)];
    return typeof one.additionalProperties === 'object' ? [follow(one.additionalProperties)] : [];
  });
}

/** The nodes that a path of the document leads to. */
export function at(path: Path): Node[] {
  return path.reduce<Node[]>((nodes, step) => nodes.flatMap(node => below(node, step)), [root]);
}

/** The keys that an object at a path can have, with what they mean. */
export function keysAt(path: Path): { key: string; node: Node }[] {
  const found = new Map<string, Node>();
  for (const node of at(path).flatMap(alternatives)) {
    for (const [key, child] of Object.entries(node.properties ?? {})) found.set(key, follow(child));
  }
  return [...found].map(([key, node]) => ({ key, node }));
}

/** Values that a node names: its enumeration, truth values, examples. */
export function valuesOf(nodes: readonly Node[]): { value: unknown; example: boolean }[] {
  const found: { value: unknown; example: boolean }[] = [];
  const add = (value: unknown, example: boolean) => {
    if (!found.some(other => Object.is(other.value, value))) found.push({ value, example });
  };
  for (const node of nodes.flatMap(alternatives)) {
    for (const value of node.enum ?? []) add(value, false);
    if (node.type === 'boolean') for (const value of [true, false]) add(value, false);
    for (const value of node.examples ?? []) add(value, true);
  }
  return found;
}

/** A first value for something that is added. */
export function blank(node: Node): unknown {
  const one = alternatives(node)[0] ?? {};
  if (one.default !== undefined && one.default !== null) return one.default;
  switch (one.type) {
    case 'object':
      return Object.fromEntries((one.required ?? []).map(key => [key, blank(one.properties?.[key] ?? {})]));
    case 'array':
      return [];
    case 'boolean':
      return false;
    case 'integer':
    case 'number':
      return one.minimum ?? 0;
    default:
      return one.enum?.[0] ?? '';
  }
}
