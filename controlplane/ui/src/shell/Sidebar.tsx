import { Link } from '@tanstack/react-router';
import { Search } from 'lucide-react';
import { useIsAdmin } from '@/api';
import icon from '../icon.svg';
import { navFor } from './nav';
import { openPalette } from './overlays';
import { ThemeSwitch } from './ThemeSwitch';
import { Who } from './Who';

export function Brand() {
  return (
    <Link to="/" className="shell-brand">
      <img src={icon} alt="" width={22} height={22} />
      Sluice
    </Link>
  );
}

const MAC = /Mac|iPhone|iPad/.test(navigator.userAgent);

/** The navigation: all pages by group, and who looks. */
export function Sidebar() {
  const admin = useIsAdmin() === true;
  return (
    <aside className="shell-side" aria-label="Sluice">
      <Brand />
      <button type="button" className="shell-find" onClick={openPalette}>
        <Search size={14} aria-hidden />
        <span>Go to…</span>
        <kbd className="kbd">{MAC ? '⌘K' : 'Ctrl K'}</kbd>
      </button>
      <nav className="shell-nav" aria-label="Pages">
        {navFor(admin).map((group, index) => (
          <div key={group.items[0]?.to}>
            {group.label === null ? (
              index > 0 && <div className="shell-group" />
            ) : (
              <div className="shell-group" id={`nav-${group.label}`}>
                {group.label}
              </div>
            )}
            <ul aria-labelledby={group.label === null ? undefined : `nav-${group.label}`}>
              {group.items.map(({ to, label, icon: Icon }) => (
                <li key={to}>
                  <Link
                    to={to}
                    className="shell-link"
                    activeOptions={{ exact: to === '/', includeSearch: false }}
                  >
                    <Icon size={16} aria-hidden />
                    {label}
                  </Link>
                </li>
              ))}
            </ul>
          </div>
        ))}
      </nav>
      <div className="shell-foot">
        <Who />
        <ThemeSwitch />
      </div>
    </aside>
  );
}
