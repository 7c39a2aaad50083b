// Static files, as any host serves them.
export default { output: "export", distDir: "dist" };
