import type { Tone } from '@/kit';

export type State = 'valid' | 'ends soon' | 'ended' | 'revoked';

/** A week: whoever depends on a token has time to replace it. */
const SOON_MS = 7 * 86_400_000;

export const tones: Record<State, Tone> = {
  valid: 'good',
  'ends soon': 'warn',
  ended: 'neutral',
  revoked: 'neutral',
};

/** What a token is good for at a moment. */
export function stateOf(token: { expires_at: string; revoked_at: string | null }, nowMs: number): State {
  if (token.revoked_at !== null) return 'revoked';
  const left = Date.parse(token.expires_at) - nowMs;
  if (left <= 0) return 'ended';
  return left < SOON_MS ? 'ends soon' : 'valid';
}
