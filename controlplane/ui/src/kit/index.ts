// The components that pages are built from. One a file; README.md shows each.

export { Badge, EndedBadge, StatusBadge, type Tone } from './Badge';
export { Button, type ButtonProps } from './Button';
export { Callout, type CalloutProps } from './Callout';
export { Card, type CardProps } from './Card';
export { Code, type CodeProps } from './Code';
export { ConfirmDialog, type ConfirmDialogProps } from './ConfirmDialog';
export { CopyButton, type CopyButtonProps, copyText } from './CopyButton';
export { type Column, DataTable, type DataTableProps, type Sort } from './DataTable';
export { Dialog, type DialogProps } from './Dialog';
export { EmptyState, type EmptyStateProps } from './EmptyState';
export { ErrorState, type ErrorStateProps } from './ErrorState';
export { Field, type FieldProps, Input, Select, type SelectProps } from './Field';
export { Duration, Money, Tokens } from './Figures';
export { IconButton, type IconButtonProps } from './IconButton';
export { Kbd } from './Kbd';
export { KeyValue } from './KeyValue';
export { Page, type PageProps } from './Page';
export { Skeleton, type SkeletonProps } from './Skeleton';
export { Stat, StatGrid, type StatProps } from './Stat';
export { Switch, type SwitchProps } from './Switch';
export { Tabs, type TabsProps } from './Tabs';
export { Text, type TextProps } from './Text';
export { Time, type TimeProps, useNow } from './Time';
export { type ToastOptions, toast } from './Toast';
export { Tooltip, type TooltipProps } from './Tooltip';
