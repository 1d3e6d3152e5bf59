export interface SkeletonProps {
  /** Pixels or any CSS length; the whole width by default. */
  width?: number | string;
  height?: number | string;
}

/** The place of something that is being fetched. Say `aria-busy` on what holds it. */
export function Skeleton({ width = '100%', height = 14 }: SkeletonProps) {
  return <span className="skeleton" style={{ width, height }} aria-hidden />;
}
