export interface ProgressProps {
  /** What is under way. */
  label: string;
  /** Of a hundred; `null` while it is not known how far it is. */
  percent: number | null;
}

/** How far some longer work is. */
export function Progress({ label, percent }: ProgressProps) {
  const done = percent === null ? null : Math.min(Math.max(percent, 0), 100);
  return (
    <div className="progress">
      <div className="progress-line">
        <span>{label}</span>
        {done !== null && <span className="figure">{Math.floor(done)}%</span>}
      </div>
      <div
        className={done === null ? 'progress-track progress-unknown' : 'progress-track'}
        role="progressbar"
        aria-label={label}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={done === null ? undefined : Math.floor(done)}
      >
        <div className="progress-fill" style={done === null ? undefined : { width: `${done}%` }} />
      </div>
    </div>
  );
}
