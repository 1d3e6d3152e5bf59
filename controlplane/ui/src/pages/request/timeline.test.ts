import { expect, it } from 'vitest';
import { type RequestTimes, segments } from './timeline';

const check = (times: RequestTimes, expected: string) =>
  expect(
    segments(times)
      .map(({ key, fromUs, toUs }) => `${key} ${fromUs}-${toUs}`)
      .join(', '),
  ).toBe(expected);

it('covers a request without gaps, and says what is not known', () => {
  check({ queued_us: 10, ttft_us: 50, duration_us: 100 }, 'gateway 0-10, wait 10-50, stream 50-100');
  check({ queued_us: null, ttft_us: 50, duration_us: 100 }, 'unknown 0-50, stream 50-100');
  check({ ttft_us: 50, duration_us: 100 }, 'unknown 0-50, stream 50-100');
  check({ queued_us: 10, ttft_us: null, duration_us: 100 }, 'gateway 0-10, wait 10-100');
  check({ queued_us: null, ttft_us: null, duration_us: 100 }, 'unknown 0-100');
  check({ queued_us: 0, ttft_us: 100, duration_us: 100 }, 'wait 0-100');
});

it('keeps inside of the request what clocks put outside', () => {
  check({ queued_us: 60, ttft_us: 50, duration_us: 100 }, 'gateway 0-50, stream 50-100');
  check({ queued_us: 500, ttft_us: 900, duration_us: 100 }, 'gateway 0-100');
  check({ queued_us: -5, ttft_us: Number.NaN, duration_us: 100 }, 'wait 0-100');
  check({ queued_us: 1, ttft_us: 2, duration_us: 0 }, '');
});
