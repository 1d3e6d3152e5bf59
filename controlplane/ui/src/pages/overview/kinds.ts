/** Sums of one group over time, each as long as the times. */
export interface TokenSeries {
  input: readonly number[];
  cached_read: readonly number[];
  output: readonly number[];
  reasoning: readonly number[];
}

export interface TokenKinds {
  uncached: number[];
  cached: number[];
  answer: number[];
  reasoning: number[];
}

/** Model tokens by kind, so that the four add up to input and output: cache reads are part of input, reasoning of output. */
export function tokenKinds(series: TokenSeries): TokenKinds {
  const less = (all: readonly number[], part: readonly number[]) =>
    all.map((value, at) => Math.max(0, value - (part[at] ?? 0)));
  return {
    uncached: less(series.input, series.cached_read),
    cached: [...series.cached_read],
    answer: less(series.output, series.reasoning),
    reasoning: [...series.reasoning],
  };
}
