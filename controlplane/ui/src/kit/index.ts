// The components that pages are built from. One a file; README.md shows each.
export { Button, type ButtonProps } from './Button';
export { Code, type CodeProps } from './Code';
export { CopyButton, type CopyButtonProps, copyText } from './CopyButton';
export { Dialog, type DialogProps } from './Dialog';
export { EmptyState, type EmptyStateProps } from './EmptyState';
export { ErrorState, type ErrorStateProps } from './ErrorState';
export { IconButton, type IconButtonProps } from './IconButton';
export { Kbd } from './Kbd';
export { Page, type PageProps } from './Page';
export { Skeleton, type SkeletonProps } from './Skeleton';
export { type ToastOptions, toast } from './Toast';
export { Tooltip, type TooltipProps } from './Tooltip';
