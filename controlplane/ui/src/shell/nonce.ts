import { setNonce } from 'get-nonce';

let nonce = '';

/** The nonce of this page, for libraries that insert style elements (the editor takes it as an option). */
export const cspNonce = (): string => nonce;

/** Reads the nonce that the gateway put into the page and hands it to what asks `get-nonce`. */
export function adoptNonce(): void {
  const content = document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? '';
  if (content === '' || content.startsWith('__')) return;
  nonce = content;
  setNonce(content);
}
