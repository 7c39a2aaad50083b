// The types as a page's code uses them: that this compiles is the test.

import { ClipletRank, createEngine, type Ranking } from "cliplet-rank";

const element = document.createElement("cliplet-rank");
element.labels = ["cat", "dog"];
element.labels = "cat, dog";
const labels: string[] = element.labels;
element.addEventListener("result", ({ detail }) => console.log(detail.winner?.length, labels));
element.addEventListener("error", ({ detail }) => console.log(detail.code === "policy-blocked", detail.lines.length));
element.addEventListener("click", (event) => console.log(event.clientX));
// @ts-expect-error There is no such way of loading.
element.loading = "never";
const ranking: Ranking = await element.rank(new Blob(), { signal: AbortSignal.timeout(1000) });
const engine = await createEngine({ model: "mine" });
const [text] = await engine.encodeTexts(["a cat"], { onprogress: ({ stage }) => console.log(stage) });
console.log(ranking.labels[0].probability, text?.length, (await engine.load()).info.about.name);

class Mine extends ClipletRank {}
console.log(Mine.version);
