import type { HttpMethod, PathsWithMethod } from 'openapi-typescript-helpers';
import type { components, paths } from '#schema';

/** A named schema of the API's document: `Schema<'Me'>`. */
export type Schema<N extends keyof components['schemas']> = components['schemas'][N];

export type Method = Extract<HttpMethod, 'get' | 'post' | 'put' | 'delete'>;
export type PathOf<M extends Method> = PathsWithMethod<paths, M>;
export type Operation<P extends keyof paths, M extends Method> = M extends keyof paths[P]
  ? paths[P][M]
  : never;

type Parameters<O, K extends string> = O extends { parameters: infer All }
  ? K extends keyof All
    ? NonNullable<All[K]>
    : never
  : never;

type Field<K extends string, V> = [V] extends [never] ? unknown : { [N in K]?: V };
type Needed<K extends string, V> = [V] extends [never] ? unknown : { [N in K]: V };

type Body<O> = O extends { requestBody?: { content: infer Content } } ? Content[keyof Content] : never;

/** What an operation takes: `path` (needed if it has any), `query`, `header`, `body`. */
export type Input<O> = Needed<'path', Parameters<O, 'path'>> &
  Field<'query', Parameters<O, 'query'>> &
  Field<'header', Parameters<O, 'header'>> &
  Field<'body', Body<O>>;

type Content<R> = R extends { content: infer C }
  ? C extends { 'application/json': infer Json }
    ? Json
    : C[keyof C]
  : undefined;

/** The body of an operation's success; its JSON, if it has several forms. */
export type Output<O> = O extends { responses: infer R }
  ? { [S in keyof R]: S extends 200 | 201 | 202 | 204 ? Content<R[S]> : never }[keyof R]
  : never;

/** The data of `GET path`. */
export type DataOf<P extends PathOf<'get'>> = Output<Operation<P, 'get'>>;

/** Arguments: the input may be left out if nothing of it is needed. */
export type WithInput<O, Options> =
  Record<string, never> extends Input<O>
    ? [input?: Input<O>, options?: Options]
    : unknown extends Input<O>
      ? [input?: Record<string, never>, options?: Options]
      : [input: Input<O>, options?: Options];
