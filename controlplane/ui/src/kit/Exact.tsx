import { useEffect, useId, useState } from 'react';
import { type Detail, detailLines } from './details';

/**
 * Makes the titles inside of an element known to the keyboard: while it or something in it has the focus, they stand at the
 * foot of the page. One stop of the Tab key for many figures.
 */
export const exact = { 'data-exact': '', tabIndex: 0 } as const;

/** Where the titles of what has the keyboard's focus are read: all digits, the time in UTC, what was cut. */
export function ExactLine() {
  const id = useId();
  const [lines, setLines] = useState<readonly string[]>([]);
  useEffect(() => {
    let described: Element | null = null;
    const leave = () => {
      described?.removeAttribute('aria-describedby');
      described = null;
      setLines([]);
    };
    const enter = (event: FocusEvent) => {
      leave();
      const target = event.target as Element;
      const whole = target.closest('[data-exact]');
      // A click shows nothing: the pointer has the titles themselves.
      if (whole === null || !target.matches(':focus-visible')) return;
      const found = detailLines(details(whole));
      setLines(found);
      if (found.length === 0 || target.hasAttribute('aria-describedby')) return;
      described = target;
      target.setAttribute('aria-describedby', id);
    };
    const dismiss = (event: KeyboardEvent) => event.key === 'Escape' && setLines([]);
    // What was cut can be read with the pointer, too.
    const over = (event: PointerEvent) => {
      const cell = (event.target as Element).closest<HTMLElement>('.cut');
      if (cell !== null) cell.title = isCut(cell) ? (cell.textContent ?? '') : '';
    };
    document.addEventListener('focusin', enter);
    document.addEventListener('focusout', leave);
    document.addEventListener('keydown', dismiss);
    document.addEventListener('pointerover', over);
    return () => {
      document.removeEventListener('focusin', enter);
      document.removeEventListener('focusout', leave);
      document.removeEventListener('keydown', dismiss);
      document.removeEventListener('pointerover', over);
      leave();
    };
  }, [id]);
  return (
    <div id={id} className={lines.length === 0 ? 'exact' : 'exact exact-shown'}>
      {lines.map(line => (
        <span key={line}>{line}</span>
      ))}
    </div>
  );
}

function details(whole: Element): Detail[] {
  const found: Detail[] = [];
  for (const part of whole.querySelectorAll<HTMLElement>('[title], .cut')) {
    if (part.closest('thead') !== null) continue;
    const cut = part.classList.contains('cut');
    if (cut && !isCut(part)) continue;
    found.push({ label: labelOf(part), text: cut ? (part.textContent ?? '') : part.title });
  }
  return found;
}

const isCut = (cell: HTMLElement): boolean =>
  [...cell.querySelectorAll<HTMLElement>('*')].some(
    part => part.clientWidth > 0 && part.scrollWidth > part.clientWidth,
  );

/** The column, fact, figure or bar that something belongs to. */
function labelOf(part: HTMLElement): string {
  const named = part.closest<HTMLElement>('[data-label]');
  if (named !== null) return named.dataset.label ?? '';
  const bar = part.closest('.bar-line');
  if (bar !== null) return bar.firstElementChild?.textContent?.trim() ?? '';
  const fact = part.closest('dd')?.previousElementSibling;
  const cell = part.closest('td');
  const head = cell?.previousElementSibling == null ? null : cell.parentElement?.firstElementChild;
  return (fact ?? head ?? cell)?.textContent?.trim() ?? '';
}
