const HtmlWebpackPlugin = require("html-webpack-plugin");
const { VueLoaderPlugin } = require("vue-loader");

const isCustomElement = (tag) => tag.startsWith("cliplet-");

module.exports = {
  entry: "./main.js",
  output: { clean: true },
  performance: { hints: false },
  module: { rules: [{ test: /\.vue$/, loader: "vue-loader", options: { compilerOptions: { isCustomElement } } }] },
  plugins: [new VueLoaderPlugin(), new HtmlWebpackPlugin({ template: "index.html" })],
};
