import { showRate } from '../models/price';
import { type PriceDetail, priceSheet } from './sheet';

/** What a model costs at one provider: a row for each condition, a column for each kind of model token, fees below. */
export function PriceTable({ price, caption }: { price: PriceDetail; caption: string }) {
  const { columns, rows, fees } = priceSheet(price);
  return (
    <>
      <section className="price-scroll" aria-label={caption} tabIndex={0}>
        <table className="price-table">
          <caption className="visually-hidden">{caption}</caption>
          <thead>
            <tr>
              <td />
              {rows.map(row => (
                <th key={row.key} scope="col" className="price-number">
                  {row.label}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {columns.map((column, at) => (
              <tr key={column}>
                <th scope="row">{column}</th>
                {rows.map(row => (
                  <td key={row.key} className="price-number">
                    {showRate(row.cells[at]) ?? (
                      <span className="faint" title="No rate of its own">
                        –
                      </span>
                    )}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </section>
      {fees.length > 0 && (
        <p className="price-source">
          {fees.map(fee => `${fee.label}: ${showRate(fee.dollars) ?? 'unknown'}`).join(' · ')}
        </p>
      )}
    </>
  );
}
