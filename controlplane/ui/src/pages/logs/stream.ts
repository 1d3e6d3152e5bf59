export { type StreamState, useStream } from '@/api';

import { apiUrl } from '@/api';
import type { Filters } from './filters';

/** The address of the live tail with these filters. */
export function serializeLive(filters: Filters): string {
  return apiUrl('/api/live', { query: { tail: 'true', ...filters } });
}
