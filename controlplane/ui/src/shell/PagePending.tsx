import { Skeleton } from '@/kit/Skeleton';

/** The place of a page whose code is on its way. */
export function PagePending() {
  return (
    <div className="page" aria-busy="true">
      <span className="visually-hidden" role="status">
        Loading
      </span>
      <Skeleton width={180} height={26} />
      <Skeleton height={120} />
      <Skeleton height={280} />
    </div>
  );
}
