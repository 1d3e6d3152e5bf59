export * from './hooks';
export * from './me';
export { ApiProblem, asProblem } from './problem';
export { type StreamState, useStream } from './stream';
export type { DataOf, Schema } from './types';
