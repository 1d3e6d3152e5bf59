import { Tabs as Radix } from 'radix-ui';
import type { ReactNode } from 'react';

export interface TabsProps<T extends string> {
  label: string;
  tabs: readonly { value: T; label: ReactNode }[];
  value: T;
  /** To be bound to the address: `value={search.tab ?? 'a'} onChange={tab => setSearch({ tab })}`. */
  onChange: (value: T) => void;
  children: ReactNode;
}

/** One of several views in the same place. */
export function Tabs<T extends string>({ label, tabs, value, onChange, children }: TabsProps<T>) {
  return (
    <Radix.Root value={value} onValueChange={next => onChange(next as T)}>
      <Radix.List className="tabs" aria-label={label}>
        {tabs.map(tab => (
          <Radix.Trigger key={tab.value} value={tab.value} className="tab">
            {tab.label}
          </Radix.Trigger>
        ))}
      </Radix.List>
      <Radix.Content value={value} className="tab-content">
        {children}
      </Radix.Content>
    </Radix.Root>
  );
}
