import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import react from '@vitejs/plugin-react';
import { defineConfig, type Plugin, type ProxyOptions } from 'vite';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** The gateway that the dev server shows. */
const gateway = process.env.SLUICE_URL ?? 'http://127.0.0.1:8080';

/** Relays to the gateway in a way that its checks of Host and Origin hold for. */
const relay: ProxyOptions = {
  target: gateway,
  changeOrigin: true,
  configure: proxy => {
    proxy.on('proxyReq', request => {
      if (request.getHeader('origin') !== undefined) request.setHeader('origin', new URL(gateway).origin);
    });
  },
};

/** The script that sets the theme before the first paint: classic, not a module, and named by its hash. */
function themeScript(): Plugin {
  const source = () => readFileSync(here('./src/theme.js'), 'utf8');
  return {
    name: 'theme-script',
    configureServer(server) {
      server.middlewares.use('/ui/theme.js', (_request, response) => {
        response.setHeader('content-type', 'text/javascript');
        response.end(source());
      });
    },
    generateBundle() {
      const code = source();
      const hash = createHash('sha256').update(code).digest('base64url').slice(0, 8);
      this.emitFile({ type: 'asset', fileName: `assets/theme-${hash}.js`, source: code });
    },
    transformIndexHtml: {
      order: 'post',
      handler: (html, context) => {
        if (context.server !== undefined) return html;
        const hash = createHash('sha256').update(source()).digest('base64url').slice(0, 8);
        return html.replace('/ui/theme.js', `/ui/assets/theme-${hash}.js`);
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
  },
  server: {
    port: 5173,
    proxy: { '/api': relay, '/aperture': relay, '/v1': relay, '/v1beta': relay },
  },
});
