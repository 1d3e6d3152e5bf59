/**
 * Which request said what, of the turns of a conversation that a later request repeats.
 *
 * A tool call bears the provider's id, and the gateway knows of each id which request's answer it stands in: those turns are
 * certain. Between two certain turns others are told by their order, if there are as many of them as requests; where the
 * numbers differ (a history that was shortened, a call that was repeated) nothing is said.
 */

import type { Turn } from '../request/conversation';

/** For each turn the id of the request that said it, or `null`. `requests`: those of the agent that got an answer, in their order, the shown one last. */
export function linked(
  turns: readonly Turn[],
  requests: readonly string[],
  byCallId: ReadonlyMap<string, string>,
): (string | null)[] {
  const out = new Array<string | null>(turns.length).fill(null);
  const position = new Map(requests.map((id, index) => [id, index]));
  const said = turns.flatMap((turn, index) => (turn.role === 'assistant' ? [index] : []));
  const anchors: { turn: number; request: number }[] = [];
  for (const [order, index] of said.entries()) {
    const turn = turns[index];
    if (turn === undefined) continue;
    const last = anchors.at(-1)?.request ?? -1;
    const request = turn.answered ? requests.length - 1 : certain(turn, byCallId, position);
    // Order must hold: what would go back is not what it seems.
    if (request !== undefined && request > last && request < requests.length)
      anchors.push({ turn: order, request });
  }
  let before = { turn: -1, request: -1 };
  for (const anchor of [...anchors, { turn: said.length, request: requests.length }]) {
    const [gap, between] = [anchor.turn - before.turn - 1, anchor.request - before.request - 1];
    // At the front the history may begin before the session does, so that only an equal number says anything there, too.
    if (gap === between) {
      for (let step = 1; step <= gap; step += 1) {
        const index = said[before.turn + step];
        if (index !== undefined) out[index] = requests[before.request + step] ?? null;
      }
    }
    const index = said[anchor.turn];
    if (index !== undefined) out[index] = requests[anchor.request] ?? null;
    before = anchor;
  }
  // Several choices of one answer are of one request.
  for (const index of said) {
    if (turns[index]?.answered === true) out[index] = requests.at(-1) ?? null;
  }
  return out;
}

function certain(
  turn: Turn,
  byCallId: ReadonlyMap<string, string>,
  position: ReadonlyMap<string, number>,
): number | undefined {
  for (const block of turn.blocks) {
    if (block.kind !== 'call' || block.id === '') continue;
    const request = byCallId.get(block.id);
    const at = request === undefined ? undefined : position.get(request);
    if (at !== undefined) return at;
  }
  return undefined;
}
