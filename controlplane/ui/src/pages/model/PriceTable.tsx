import { showRate } from '../models/price';
import { type PriceDetail, priceSheet } from './sheet';

/** What a model costs at one provider: a row for each kind of model token, a column for each condition. */
export function PriceTable({ price, caption }: { price: PriceDetail; caption: string }) {
  const { columns, rows, fees } = priceSheet(price);
  return (
    <div className="price-scroll">
      <table className="price-table">
        <caption className="visually-hidden">{caption}</caption>
        <thead>
          <tr>
            <th scope="col">$ per million model tokens</th>
            {columns.map(column => (
              <th key={column} scope="col" className="price-number">
                {column}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(row => (
            <tr key={row.key}>
              <th scope="row">{row.label}</th>
              {row.cells.map((cell, at) => (
                <td
                  key={columns[at]}
                  className="price-number"
                  title={cell === null ? 'No rate of its own' : undefined}
                >
                  {showRate(cell) ?? <span className="faint">–</span>}
                </td>
              ))}
            </tr>
          ))}
          {fees.map(fee => (
            <tr key={fee.label}>
              <th scope="row">{fee.label}</th>
              <td className="price-number">{showRate(fee.dollars)}</td>
              {columns.slice(1).map(column => (
                <td key={column} />
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
