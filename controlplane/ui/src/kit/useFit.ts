import { useLayoutEffect, useRef, useState } from 'react';
import { ALL_FIT, type Fit, type Fitted, fitting, sameFit } from './table-fit';

/** Which columns of the table in a scroller have room, as its width changes. The heads of columns carry `data-column`. */
export function useFit(scroller: HTMLElement | null, columns: readonly Fitted[]): Fit {
  const [found, setFound] = useState<Fit>(ALL_FIT);
  const [width, setWidth] = useState<number>();
  const [, draw] = useState(0);
  const least = useRef(new Map<string, number>());
  useLayoutEffect(() => {
    if (scroller === null) return;
    setWidth(scroller.clientWidth);
    const observer = new ResizeObserver(() => {
      setWidth(scroller.clientWidth);
      // Rows that come into sight may be wider.
      if (scroller.scrollWidth > scroller.clientWidth) draw(scroller.scrollWidth);
    });
    observer.observe(scroller);
    if (scroller.firstElementChild !== null) observer.observe(scroller.firstElementChild);
    return () => observer.disconnect();
  }, [scroller]);
  // After each drawing: other rows need other widths.
  useLayoutEffect(() => {
    if (scroller === null || width === undefined) return;
    // Only a table that is too wide has its columns as narrow as they can be.
    if (!found.cards && scroller.scrollWidth > scroller.clientWidth) {
      for (const head of scroller.querySelectorAll<HTMLElement>('th[data-column]')) {
        least.current.set(head.dataset.column ?? '', head.getBoundingClientRect().width);
      }
    }
    const next = fitting(columns, least.current, width);
    if (!sameFit(next, found)) setFound(next);
  });
  return found;
}
