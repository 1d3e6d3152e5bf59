import { useLayoutEffect, useRef } from 'react';
import { keepEarly, takeEarly } from './early';
import { setOverlay } from './overlays';

/** The palette's field, there at once: what is typed while the rest of it loads is not lost. */
export function EarlyPalette() {
  const field = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => {
    takeEarly();
    const before = document.activeElement;
    field.current?.focus();
    // Given back, so that the palette, when it is closed, knows where the focus was.
    return () => {
      if (before instanceof HTMLElement) before.focus({ preventScroll: true });
    };
  }, []);
  return (
    <>
      <div className="scrim" onPointerDown={() => setOverlay(null)} aria-hidden />
      <div className="palette" role="dialog" aria-modal="true" aria-label="Go to">
        <input
          ref={field}
          className="palette-early"
          aria-label="Go to"
          aria-busy="true"
          placeholder="A page, model, person, or an id"
          autoComplete="off"
          spellCheck={false}
          onChange={event => keepEarly(event.target.value)}
          onKeyDown={event => event.key === 'Escape' && setOverlay(null)}
        />
      </div>
    </>
  );
}
