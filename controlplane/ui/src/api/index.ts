export * from './hooks';
export * from './me';
export { ApiProblem, asProblem } from './problem';
export type { DataOf, Schema } from './types';
