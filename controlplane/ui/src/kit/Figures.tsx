import { type AmountUnit, amount, exactAmount } from './amounts';
import { type Costs, costOf } from './cost';
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

/** A sum of costs that leaves out what is not known: `≥ $7.81`, and why on hover and focus. */
export function AtLeast({
  sums: { cost_nanousd: cost, unpriced, unknown },
}: {
  sums: { cost_nanousd: number; unpriced: number; unknown: number };
}) {
  if (unpriced + unknown === 0) return <Money nanousd={cost} />;
  const parts = [
    unpriced > 0 ? `${count(unpriced)} of models without a price` : '',
    unknown > 0 ? `${count(unknown)} whose use is not known` : '',
  ].filter(part => part !== '');
  return (
    <span className="figure nowrap" title={`${exactMoney(cost)}, without requests: ${parts.join(', ')}`}>
      ≥ {money(cost)}
    </span>
  );
}

/** What requests cost together: unknown where nothing of it is known, at least what is. */
export function Cost({ of }: { of: Costs }) {
  const { nanousd, why } = costOf(of);
  return nanousd === null ? <Money nanousd={null} unpriced={why === 'unpriced'} /> : <AtLeast sums={of} />;
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

/** An amount of a budget in its unit: short, all digits on hover. */
export function Amount({ unit, value }: { unit: AmountUnit; value: number }) {
  return (
    <span className="figure nowrap" title={exactAmount(unit, value)}>
      {amount(unit, value)}
    </span>
  );
}
