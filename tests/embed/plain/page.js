// What a site's own script does with the widget.

const rank = document.querySelector("cliplet-rank");
rank.addEventListener("result", ({ detail }) => (rank.form.elements.said.value = detail.winner ?? "nothing of that"));
