// Reading JSON that somebody else wrote: nothing here throws, whatever stands there.

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

/** An object's members; of anything else there are none. */
export function members(value: unknown): JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : {};
}

/** An array's items; of anything else there are none. */
export function items(value: unknown): Json[] {
  return Array.isArray(value) ? value : [];
}

/** A text that is not empty. */
export function word(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** Whether an object has a member of its own with this name. */
export function has(value: JsonObject, name: string): boolean {
  return Object.hasOwn(value, name) && value[name] !== null && value[name] !== undefined;
}

/** A value as text: a text is itself, anything else is written as JSON. */
export function written(value: unknown): string {
  if (value === undefined || value === null) return '';
  if (typeof value === 'string') return value;
  try {
    return JSON.stringify(value, null, 2) ?? '';
  } catch {
    return String(value);
  }
}

/** Bytes that a base64 text stands for, about. */
export function base64Bytes(text: string | undefined): number | null {
  return text === undefined ? null : Math.floor((text.length * 3) / 4);
}
