import type { Schema } from '@/api';
import { count } from '@/kit/format';

/** Where somebody's calls came from; those without a name aside. */
export const nodeNames = (nodes: Schema<'PersonDetail'>['nodes']): string =>
  nodes
    .map(({ node }) => node)
    .filter(node => node !== '')
    .join(', ');

export const requests = (number: number): string =>
  `${count(number)} ${number === 1 ? 'request' : 'requests'}`;

/** What is not in a sum of costs. */
export function missing(sums: { unpriced: number; unknown: number }): string {
  const parts = [
    sums.unpriced > 0 ? `${requests(sums.unpriced)} of models without a price` : null,
    sums.unknown > 0 ? `${requests(sums.unknown)} whose use is not known` : null,
  ].filter(part => part !== null);
  return parts.length === 0 ? 'of every request' : `without ${parts.join(', ')}`;
}
