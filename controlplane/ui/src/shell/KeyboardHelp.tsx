import { Fragment } from 'react';
import { useIsAdmin } from '@/api';
import { Dialog } from '@/kit/Dialog';
import { Kbd } from '@/kit/Kbd';
import { navFor } from './nav';
import { setOverlay } from './overlays';

const GENERAL: readonly [keys: readonly string[], what: string][] = [
  [['Ctrl', 'K'], 'Go to a page, a model, a person, a request (⌘K on a Mac)'],
  [['/'], 'Filter the list'],
  [['j'], 'Next row; the arrow keys do the same'],
  [['k'], 'Previous row'],
  [['Enter'], 'Open the row'],
  [['Esc'], 'Close what lies over the page'],
  [['?'], 'This help'],
];

export default function KeyboardHelp() {
  const pages = navFor(useIsAdmin() === true).flatMap(group => group.items);
  return (
    <Dialog open onOpenChange={() => setOverlay(null)} title="Keyboard" size="wide">
      <div className="keys-columns">
        <dl className="keys">
          {GENERAL.map(([keys, what]) => (
            <Fragment key={what}>
              <dt>
                {keys.map(key => (
                  <Kbd key={key}>{key}</Kbd>
                ))}
              </dt>
              <dd>{what}</dd>
            </Fragment>
          ))}
        </dl>
        <dl className="keys">
          {pages.map(item => (
            <Fragment key={item.to}>
              <dt>
                <Kbd>g</Kbd> <Kbd>{item.letter}</Kbd>
              </dt>
              <dd>{item.label}</dd>
            </Fragment>
          ))}
        </dl>
      </div>
    </Dialog>
  );
}
