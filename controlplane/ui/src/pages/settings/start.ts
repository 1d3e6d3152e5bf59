// What a section of the document may begin with.
import { append, set } from './hujson';

export const BUDGET = 'daily:<user>';

/** The text with a budget for each person, in force for everybody: without a grant that names it, it would limit nothing. */
export function withBudget(text: string): string {
  const defined = set(text, ['quotas', BUDGET], { capacity: '$10.00', rate: '$5.00/day' });
  return append(defined, ['grants'], { src: ['*'], capabilities: [{ quotas: [{ bucket: BUDGET }] }] });
}
