import preact from "@preact/preset-vite";
import { defineConfig } from "vite";

// Where `npm run dev` finds a running API (`scenebook up`).
const API = "http://127.0.0.1:8000";

export default defineConfig({
  plugins: [preact({ devToolsEnabled: false })],
  // The API's package carries the page; everything but index.html has its hash in its name.
  build: { outDir: "../api/page", emptyOutDir: true, target: "es2022", assetsInlineLimit: 0 },
  server: {
    proxy: Object.fromEntries(["/v1", "/readyz"].map((path) => [path, { target: API }])),
  },
});
