import { Link } from '@tanstack/react-router';
import { CircleAlert, CircleCheck, TriangleAlert } from 'lucide-react';
import { Skeleton } from '@/kit';
import type { Matter } from './attention';

/** What needs attention, each with the link that resolves it; one quiet line if nothing does. */
export function Attention({ matters, pending }: { matters: readonly Matter[]; pending: boolean }) {
  if (matters.length === 0) {
    return pending ? (
      <p className="matters-none" aria-busy="true">
        <Skeleton width={180} />
      </p>
    ) : (
      <p className="matters-none">
        <CircleCheck size={15} aria-hidden />
        Nothing needs attention.
      </p>
    );
  }
  return (
    <section aria-label="Needs attention">
      <ul className="matters">
        {matters.map(({ id, tone, title, detail, link }) => {
          const Icon = tone === 'bad' ? CircleAlert : TriangleAlert;
          return (
            <li key={id} className="matter" data-tone={tone}>
              <Icon size={16} aria-hidden />
              <div className="matter-text">
                <span className="matter-title">
                  <bdi>{title}</bdi>
                </span>
                {detail !== undefined && (
                  <div className="matter-detail">
                    <bdi>{detail}</bdi>
                  </div>
                )}
              </div>
              {link !== undefined && (
                <Link to={link.to} search={(link.search ?? {}) as never}>
                  {link.label}
                </Link>
              )}
            </li>
          );
        })}
      </ul>
    </section>
  );
}
