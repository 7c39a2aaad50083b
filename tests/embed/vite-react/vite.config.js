import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The widget as it is, in development, too: its files are found beside it.
export default defineConfig({ plugins: [react()], base: "./", optimizeDeps: { exclude: ["cliplet-rank"] } });
