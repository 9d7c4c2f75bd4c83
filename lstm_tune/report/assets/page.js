"use strict";
(() => {
  const content = JSON.parse(document.getElementById("content").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const picked = {};
  let views = [];
  let drawing = 0;

  // Data travel column by column, which is a third of the size; Vega wants rows.
  const datasets = Object.fromEntries(Object.entries(content.data).map(([name, columns]) => {
    const names = Object.keys(columns);
    const length = names.length ? columns[names[0]].length : 0;
    return [name, Array.from({length}, (_, i) => Object.fromEntries(names.map((key) => [key, columns[key][i]])))];
  }));

  const themed = (spec, theme) => {
    const colours = Object.entries(theme.colours).map(([name, value]) => ({name, value}));
    return {...spec, datasets, config: theme.config, params: [...colours, ...(spec.params || [])]};
  };

  const pick = (view) => {
    const known = Object.keys(view.getState({signals: () => true, data: () => false}).signals);
    const wanted = Object.entries(picked).filter(([name]) => known.includes(name));
    wanted.forEach(([name, value]) => view.signal(name, value));
    return wanted.length ? view.runAsync() : view;
  };

  const draw = async () => {
    const turn = ++drawing;
    const theme = content.themes[dark.matches ? "dark" : "light"];
    views.forEach((view) => view.finalize());
    views = [];
    for (const place of document.querySelectorAll(".chart")) {
      const spec = content.figures[place.dataset.figure][Number(place.dataset.chart)];
      const result = await vegaEmbed(place, themed(spec, theme), {actions: false, renderer: "svg", tooltip: {theme: "custom"}});
      if (turn !== drawing) {
        result.view.finalize();
        return;
      }
      views.push(result.view);
      await pick(result.view);
    }
    document.documentElement.dataset.drawn = String(views.length);
  };

  document.querySelectorAll("select[data-signal]").forEach((select) => select.addEventListener("change", () => {
    picked[select.dataset.signal + "Picked"] = select.value;
    document.querySelectorAll("select[data-signal]").forEach((other) => {
      if (other.dataset.signal === select.dataset.signal) other.value = select.value;
    });
    views.forEach(pick);
  }));
  dark.addEventListener("change", draw);
  draw();
})();
