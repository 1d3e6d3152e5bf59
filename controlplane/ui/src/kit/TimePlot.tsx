import { useEffect, useRef } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { labels, marks } from './axis';
import { stack } from './series';
import { colorOf, type TimeSeriesProps } from './TimeSeries';

interface TimePlotProps extends TimeSeriesProps {
  height: number;
  /** Milliseconds between points. */
  step: number;
  /** The point that is looked at, however it was chosen. */
  at: number | null;
  onPoint: (index: number | null) => void;
}

/** The canvas of a chart over time. */
export default function TimePlot(props: TimePlotProps) {
  const place = useRef<HTMLDivElement>(null);
  const { times, series, stacked = false, format, height, step, sync, at, onPoint } = props;
  const chart = useRef<uPlot>(undefined);
  const point = useRef(onPoint);
  point.current = onPoint;
  // What is drawn, as a text: a new chart only if that changed, and not with every answer that says the same.
  const content = JSON.stringify([times, series, stacked, height, step, sync]);
  const drawn = useRef({ times, series, format });
  drawn.current = { times, series, format };

  // biome-ignore lint/correctness/useExhaustiveDependencies: `content` stands for what is drawn
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    let plot: uPlot | undefined;
    const draw = () => {
      plot?.destroy();
      plot = new uPlot(options(element), data(), element);
      chart.current = plot;
    };
    const data = (): uPlot.AlignedData => {
      const { times, series } = drawn.current;
      const lines = stacked ? stack(series.map(line => line.values)) : series.map(line => [...line.values]);
      // The topmost first, so that those below are drawn over it.
      return [times.map(time => Date.parse(time) / 1000), ...(stacked ? lines.reverse() : lines)];
    };
    const options = (parent: HTMLElement): uPlot.Options => {
      const style = getComputedStyle(parent);
      const color = (name: string) =>
        style.getPropertyValue(name.replace(/^var\(|\)$/g, '')).trim() || '#888';
      const { series, format } = drawn.current;
      const axis = {
        stroke: color('--text-3'),
        grid: { stroke: color('--grid'), width: 1 },
        ticks: { show: false },
      };
      const whole = series.every(line =>
        line.values.every(value => value === null || Number.isInteger(value)),
      );
      const scale = (max: number) => marks(max, height - 30, whole);
      const font = `11px ${style.fontFamily}`;
      const lines = series.map((line, index): uPlot.Series => {
        const stroke = color(colorOf(line, index));
        return stacked
          ? {
              label: line.label,
              stroke,
              fill: stroke,
              width: 0,
              points: { show: false },
              paths: uPlot.paths.bars?.({ size: [0.82, 40], align: 0 }),
            }
          : {
              label: line.label,
              stroke,
              width: 1.75,
              points: { show: line.values.length < 3 },
              spanGaps: false,
            };
      });
      return {
        width: Math.max(parent.clientWidth, 60),
        height,
        padding: [8, 8, 0, 0],
        legend: { show: false },
        cursor: {
          y: false,
          points: { show: !stacked, size: 6 },
          drag: { x: false, y: false },
          ...(sync === undefined ? {} : { sync: { key: sync } }),
        },
        scales: {
          x: {
            time: true,
            range: (_, min, max) => (stacked ? [min - step / 2000, max + step / 2000] : [min, max]),
          },
          y: { range: (_, __, max) => [0, scale(max).at(-1) ?? 1] },
        },
        axes: [
          { ...axis, font, size: 22, grid: { show: false }, space: 70, values: ticks },
          {
            ...axis,
            font,
            size: (_, values) => 14 + Math.max(0, ...(values ?? []).map(value => value.length)) * 6.4,
            values: (_, splits) => labels(splits.map(split => format(split))),
            splits: (_, __, ___, max) => scale(max),
          },
        ],
        series: [{}, ...(stacked ? lines.reverse() : lines)],
        hooks: { setCursor: [self => point.current(self.cursor.idx ?? null)] },
      };
    };
    draw();
    const resize = new ResizeObserver(() => {
      if (plot !== undefined && Math.abs(plot.width - element.clientWidth) > 1) {
        plot.setSize({ width: Math.max(element.clientWidth, 60), height });
      }
    });
    resize.observe(element);
    // Colours are the theme's.
    const theme = new MutationObserver(draw);
    theme.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] });
    return () => {
      resize.disconnect();
      theme.disconnect();
      plot?.destroy();
    };
  }, [content]);

  useEffect(() => {
    const plot = chart.current;
    if (plot === undefined || (plot.cursor.idx ?? null) === at) return;
    const x = at === null ? undefined : plot.data[0][at];
    plot.setCursor(x === undefined ? { left: -10, top: -10 } : { left: plot.valToPos(x, 'x'), top: 0 });
  }, [at]);

  return <div className="chart-plot" style={{ height }} ref={place} />;
}

/** Times of the axis in the viewer's zone, a date where the day changes. */
function ticks(_: uPlot, splits: number[]): string[] {
  let day = '';
  const gap = (splits[1] ?? 0) - (splits[0] ?? 0);
  return splits.map(split => {
    const date = new Date(split * 1000);
    const today = date.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' });
    if (gap >= 86_400 || (today !== day && date.getHours() === 0 && date.getMinutes() === 0)) {
      day = today;
      return today;
    }
    day = today;
    return date.toLocaleTimeString('en-GB', {
      hour: '2-digit',
      minute: '2-digit',
      ...(gap < 60 ? { second: '2-digit' } : {}),
    });
  });
}
