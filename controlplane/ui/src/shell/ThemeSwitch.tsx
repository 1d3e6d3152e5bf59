import { Monitor, Moon, Sun } from 'lucide-react';
import { setTheme, type ThemeChoice, useThemeChoice } from './theme';

const CHOICES: readonly { value: ThemeChoice; label: string; icon: typeof Sun }[] = [
  { value: 'system', label: "System's theme", icon: Monitor },
  { value: 'light', label: 'Light theme', icon: Sun },
  { value: 'dark', label: 'Dark theme', icon: Moon },
];

export function ThemeSwitch() {
  const choice = useThemeChoice();
  return (
    <div className="shell-theme" role="radiogroup" aria-label="Theme">
      {CHOICES.map(({ value, label, icon: Icon }) => (
        <button
          key={value}
          type="button"
          role="radio"
          aria-checked={choice === value}
          aria-label={label}
          title={label}
          onClick={() => setTheme(value)}
        >
          <Icon size={15} aria-hidden />
        </button>
      ))}
    </div>
  );
}
