import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import react from '@vitejs/plugin-react';
import { defineConfig, type Plugin, type ProxyOptions } from 'vite';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** The gateway that the dev server shows. */
const gateway = process.env.SLUICE_URL ?? 'http://127.0.0.1:8080';

/** Who looks, for a gateway that believes the headers of `tailscale serve` on this machine. */
const login = process.env.SLUICE_LOGIN;

/** Relays to the gateway in a way that its checks of Host and Origin hold for. */
const relay: ProxyOptions = {
  target: gateway,
  changeOrigin: true,
  headers: login === undefined ? {} : { 'tailscale-user-login': login },
  configure: proxy => {
    proxy.on('proxyReq', request => {
      if (request.getHeader('origin') !== undefined) request.setHeader('origin', new URL(gateway).origin);
    });
  },
};

/** The script that sets the theme before the first paint: classic, not a module, and named by its hash. */
function themeScript(): Plugin {
  const source = () => readFileSync(here('./src/theme.js'), 'utf8');
  const hashed = (code: string) =>
    `assets/theme-${createHash('sha256').update(code).digest('base64url').slice(0, 8)}.js`;
  return {
    name: 'theme-script',
    configureServer(server) {
      server.middlewares.use('/ui/theme.js', (_request, response) => {
        response.setHeader('content-type', 'text/javascript');
        response.end(source());
      });
    },
    generateBundle() {
      this.emitFile({ type: 'asset', fileName: hashed(source()), source: source() });
    },
    transformIndexHtml: {
      order: 'post',
      handler: (html, context) => {
        const path = context.server === undefined ? hashed(source()) : 'theme.js';
        return html.replace(/<!-- The theme's script.*?-->/, `<script src="/ui/${path}"></script>`);
      },
    },
  };
}

export default defineConfig({
  base: '/ui/',
  plugins: [react(), themeScript()],
  resolve: { alias: { '@': here('./src') } },
  build: {
    target: 'es2022',
    manifest: true,
    assetsInlineLimit: 0,
    sourcemap: false,
    reportCompressedSize: false,
    // The editor of the document is large, and loaded where one is shown alone.
    chunkSizeWarningLimit: 600,
    rolldownOptions: {
      output: {
        // Icons are some hundred bytes each: one file of all that are used, not thirty requests.
        codeSplitting: { groups: [{ name: 'icons', test: /lucide-react/ }] },
      },
    },
  },
  server: {
    port: 5173,
    proxy: { '/api': relay, '/aperture': relay, '/v1': relay, '/v1beta': relay },
  },
});
