/** What is typed for the palette before its code is there. */
let kept = '';

export const keepEarly = (text: string): void => {
  kept = text;
};

/** What was typed so far, once: who takes it goes on with it. */
export function takeEarly(): string {
  const text = kept;
  kept = '';
  return text;
}
