/** What is typed for the palette before its code is there. */
let kept = '';
let before: Element | null = null;

/** The palette was asked for; the focus was there. */
export const beginEarly = (focus: Element | null): void => {
  kept = '';
  before = focus;
};

export const keepEarly = (text: string): void => {
  kept = text;
};

/** What was typed so far, once: who takes it goes on with it. */
export function takeEarly(): string {
  const text = kept;
  kept = '';
  return text;
}

/** Where the focus goes back to. */
export const focusBefore = (): Element | null => before;
