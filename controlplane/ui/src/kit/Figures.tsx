import { compact, count, exactMoney, micros, money } from './format';

type Maybe = number | null | undefined;

/** An amount in nanodollars: short, all digits on hover. `unpriced`: it is not known because the model has no price. */
export function Money({ nanousd, unpriced = false }: { nanousd: Maybe; unpriced?: boolean }) {
  if (nanousd === null || nanousd === undefined) {
    return unpriced ? (
      <span className="badge badge-warn" title="The model has no price: its cost is not known">
        unpriced
      </span>
    ) : (
      <span className="faint">unknown</span>
    );
  }
  return (
    <span className="figure" title={exactMoney(nanousd)}>
      {money(nanousd)}
    </span>
  );
}

/** A number of model tokens: short, all digits on hover. */
export function Tokens({ tokens }: { tokens: Maybe }) {
  if (tokens === null || tokens === undefined) return <span className="faint">unknown</span>;
  return (
    <span className="figure" title={`${count(tokens)} tokens`}>
      {compact(tokens)}
    </span>
  );
}

/** A length of time in microseconds. */
export function Duration({ us }: { us: Maybe }) {
  if (us === null || us === undefined) return <span className="faint">unknown</span>;
  return (
    <span className="figure nowrap" title={`${count(us)} µs`}>
      {micros(us)}
    </span>
  );
}
