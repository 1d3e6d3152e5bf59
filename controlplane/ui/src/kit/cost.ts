/** Sums of requests, as far as their cost goes. */
export interface Costs {
  requests: number;
  errors: number;
  /** Requests of which it is known what they used, and not what that costs. */
  unpriced: number;
  /** Requests of which nobody said what they used. */
  unknown: number;
  cost_nanousd: number;
}

export interface CostKnown {
  /** `null`: of no request that was served is it known. */
  nanousd: number | null;
  why: 'unpriced' | 'unknown' | null;
  /** Requests that are not in it. */
  missing: number;
}

/** What is known of a cost. A sum of 0 in which nothing was priced is not known; what failed before it cost anything does not make it so. */
export function costOf({ requests, errors, unpriced, unknown, cost_nanousd }: Costs): CostKnown {
  const missing = unpriced + unknown;
  if (cost_nanousd !== 0 || missing === 0 || missing + errors < requests)
    return { nanousd: cost_nanousd, why: null, missing };
  return { nanousd: null, why: unpriced > 0 ? 'unpriced' : 'unknown', missing };
}
