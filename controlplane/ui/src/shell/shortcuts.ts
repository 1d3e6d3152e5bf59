import { useNavigate } from '@tanstack/react-router';
import { useEffect } from 'react';
import { useIsAdmin } from '@/api';
import { navFor } from './nav';
import { setOverlay } from './overlays';

/** How long `g` waits for its letter. */
const CHORD_MS = 1200;

/** Whether keys are text where they are pressed. */
export function typing(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable ||
      target.closest('input, textarea, select, [role="textbox"], .cm-editor') !== null)
  );
}

/** Keys that work on every page: the palette, the help, `g` and a page's letter, `/` for the filter. */
export function useShortcuts(): void {
  const navigate = useNavigate();
  const admin = useIsAdmin() === true;
  useEffect(() => {
    let chordAt = Number.NEGATIVE_INFINITY;
    const onKey = (event: KeyboardEvent) => {
      if ((event.metaKey || event.ctrlKey) && !event.altKey && event.key.toLowerCase() === 'k') {
        event.preventDefault();
        setOverlay('palette');
        return;
      }
      if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey || typing(event.target))
        return;
      if (document.querySelector('[role="dialog"], [role="alertdialog"]') !== null) return;
      if (event.timeStamp - chordAt < CHORD_MS) {
        chordAt = Number.NEGATIVE_INFINITY;
        const item = navFor(admin)
          .flatMap(group => group.items)
          .find(item => item.letter === event.key);
        if (item !== undefined) {
          event.preventDefault();
          void navigate({ to: item.to });
        }
        return;
      }
      if (event.key === 'g') chordAt = event.timeStamp;
      else if (event.key === '?') setOverlay('keys');
      else if (event.key === 'j') {
        // From anywhere into the first table; within it, rows walk themselves.
        document.querySelector<HTMLElement>('main .table tbody tr[tabindex="0"]')?.focus();
      } else if (event.key === '/') {
        const filter = document.querySelector<HTMLElement>('[data-filter-text], main .table-filter');
        if (filter !== null) {
          event.preventDefault();
          filter.focus();
        }
      }
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, [navigate, admin]);
}
