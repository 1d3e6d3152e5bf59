// Values without parts: which of a node's alternatives a text means, and what is wrong with it.
import { alternatives, type Node } from '../schema';

export type Parsed = { value: unknown } | { problem: string };

/** Whether a node is for a value without parts. */
export const isScalar = (node: Node): boolean =>
  alternatives(node).every(one => one.type !== 'object' && one.type !== 'array');

/** A value as it is typed. */
export const written = (value: unknown): string =>
  value === undefined || value === null ? '' : typeof value === 'string' ? value : JSON.stringify(value);

/** Reads a text as the first alternative that it fits: `true`, a number, else a string. */
export function parse(node: Node, text: string): Parsed {
  const all = alternatives(node);
  const typed = text.trim();
  if (all.some(one => one.type === 'boolean') && /^(true|false)$/.test(typed))
    return { value: typed === 'true' };
  const number = all.find(one => one.type === 'integer' || one.type === 'number');
  if (number !== undefined && /^-?\d+(\.\d+)?$/.test(typed)) {
    const value = Number(typed);
    if (number.type === 'integer' && !Number.isSafeInteger(value))
      return { problem: 'must be a whole number' };
    if (number.minimum !== undefined && value < number.minimum)
      return { problem: `must be ${number.minimum} or more` };
    if (number.maximum !== undefined && value > number.maximum)
      return { problem: `must be ${number.maximum} or less` };
    return { value };
  }
  const texts = all.filter(one => one.type === 'string' || one.enum !== undefined);
  if (texts.length === 0)
    return { problem: number === undefined ? 'must be true or false' : 'must be a number' };
  const fits = texts.some(one =>
    one.enum !== undefined
      ? one.enum.includes(typed)
      : one.pattern === undefined || new RegExp(one.pattern, 'u').test(text),
  );
  if (fits) return { value: text };
  const example = texts.flatMap(one => one.examples ?? one.enum ?? [])[0];
  return {
    problem:
      example === undefined
        ? 'is not of the right form'
        : `is not of the right form; an example: ${written(example)}`,
  };
}
