import { useLayoutEffect, useRef } from 'react';
import { beginEarly, keepEarly } from './early';
import { setOverlay } from './overlays';

/** The palette's field, there at once and until the palette has the focus: what is typed while it loads is not lost. */
export function EarlyPalette() {
  const field = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => {
    beginEarly(document.activeElement);
    field.current?.focus();
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
