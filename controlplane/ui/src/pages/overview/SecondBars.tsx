import { type PointerEvent, useState } from 'react';
import { SECONDS, type Second, slots } from './live';

const HEIGHT = 44;

export interface SecondBarsProps {
  seconds: readonly Second[];
  /** What stands over the bars: about the second under the pointer, or about all of them. */
  caption: (second: Second | null, peak: number) => string;
}

/** The last two minutes, a bar for each second: all requests, and of these the failed ones. */
export function SecondBars({ seconds, caption }: SecondBarsProps) {
  const [at, setAt] = useState<number | null>(null);
  const bars = slots(seconds);
  const peak = seconds.reduce((most, second) => Math.max(most, second.requests), 0);
  const scale = (HEIGHT - 2) / Math.max(peak, 4);
  const point = (event: PointerEvent<SVGSVGElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    setAt(Math.floor(((event.clientX - box.left) / Math.max(box.width, 1)) * SECONDS));
  };
  const shown = at === null ? null : (bars[at] ?? null);
  return (
    <figure className="seconds">
      <figcaption className="seconds-caption">{caption(shown, peak)}</figcaption>
      <svg
        className="seconds-bars"
        viewBox={`0 0 ${SECONDS} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={caption(null, peak)}
        onPointerMove={point}
        onPointerLeave={() => setAt(null)}
      >
        {bars.map((second, slot) => {
          const key = `slot-${slot}`;
          if (second === null) {
            return <rect key={key} className="seconds-gap" x={slot} y={HEIGHT - 1} width={0.7} height={1} />;
          }
          const whole = Math.max(second.requests > 0 ? 2 : 1, second.requests * scale);
          const failed = Math.min(whole, second.errors > 0 ? Math.max(2, second.errors * scale) : 0);
          const kind = second.requests > 0 ? 'seconds-bar' : 'seconds-none';
          return (
            <g key={key} opacity={at === null || at === slot ? 1 : 0.55}>
              <rect className={kind} x={slot} y={HEIGHT - whole} width={0.7} height={whole - failed} />
              {failed > 0 && (
                <rect className="seconds-failed" x={slot} y={HEIGHT - failed} width={0.7} height={failed} />
              )}
            </g>
          );
        })}
      </svg>
      <div className="seconds-scale" aria-hidden>
        <span>2 min ago</span>
        <span>now</span>
      </div>
    </figure>
  );
}
