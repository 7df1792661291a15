// What is wrong with a page as it is shown: a list of sentences.
(() => {
  const wrong = [];
  const shown = (one) => one.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  const said = (one) => `${one.tagName.toLowerCase()}.${one.className?.baseVal ?? one.className} “${(one.textContent ?? "").trim().slice(0, 60)}”`;
  const one = (query, what) => {
    const found = [...document.querySelectorAll(query)].filter(shown).length;
    if (found !== 1) wrong.push(`${found} ${what}, not one`);
  };

  // How it is made.
  if (document.documentElement.lang !== "en") wrong.push("no language");
  if (!document.title.trim()) wrong.push("no title");
  one("h1", "main headings");
  one("main", "main parts");
  one("body > header", "headers");
  one("body > footer", "footers");
  if (!document.querySelector("body > a.skip[href='#main']")) wrong.push("nothing leads past the header");
  const headings = [...document.querySelectorAll("h1, h2, h3, h4")].filter(shown).map((h) => Number(h.tagName[1]));
  headings.forEach((level, n) => { if (n > 0 && level > headings[n - 1] + 1) wrong.push(`a heading of level ${level} below one of ${headings[n - 1]}`); });
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  ids.filter((id, n) => ids.indexOf(id) !== n).forEach((id) => wrong.push(`two have the id ${id}`));
  document.querySelectorAll("label[for]").forEach((label) => { if (!document.getElementById(label.htmlFor)) wrong.push(`a label of nothing: ${label.htmlFor}`); });
  document.querySelectorAll("table").forEach((table) => { if (!table.querySelector("thead th")) wrong.push(`a table without heads: ${said(table)}`); });

  // Whether it fits: only what is meant to is scrolled sideways.
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) {
    const far = [...document.querySelectorAll("body *")].filter((one) => shown(one) && !one.closest(".scroll") && one.getBoundingClientRect().right > root.clientWidth + 0.5);
    wrong.push(`wider than the screen, ${root.scrollWidth} of ${root.clientWidth}: ${far.slice(0, 3).map(said).join(", ")}`);
  }
  // Where fingers press, it is large enough for them, but for links within text.
  if (matchMedia("(pointer: coarse)").matches) {
    for (const button of document.querySelectorAll("button, select, input:not([type=hidden])")) {
      const { width, height } = button.getBoundingClientRect();
      if (shown(button) && !button.matches(".off") && Math.min(width, height) < 24) wrong.push(`too small for a finger, ${width}×${height}: ${said(button)}`);
    }
  }

  // Whether it can be read: every text against what is behind it.
  const colour = (text) => {
    const numbers = (text.match(/-?[\d.]+(e-?\d+)?/g) ?? []).map(Number);
    const scale = text.startsWith("rgb") ? 255 : 1;
    const [r, g, b, a = 1] = numbers;
    return { rgb: [r / scale, g / scale, b / scale], a };
  };
  const over = (top, under) => top.rgb.map((part, n) => part * top.a + under[n] * (1 - top.a));
  const behind = (one) => {
    if (!one) return colour(getComputedStyle(root).backgroundColor).a === 1 ? colour(getComputedStyle(root).backgroundColor).rgb : [1, 1, 1];
    const own = colour(getComputedStyle(one).backgroundColor);
    return own.a === 1 ? own.rgb : over(own, behind(one.parentElement));
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const judged = new Set();
  while (texts.nextNode()) {
    const text = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || judged.has(text) || !shown(text) || text.closest(".off, .skip, [disabled], title, script")) continue;
    judged.add(text);
    const style = getComputedStyle(text);
    const ground = behind(text);
    const ink = over(colour(text.closest("svg") ? style.fill : style.color), ground);
    const [high, low] = [light(ink), light(ground)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (!(ratio >= (large ? 3 : 4.5))) wrong.push(`hard to read, ${ratio.toFixed(2)}: ${said(text)}`);
  }
  return wrong.slice(0, 10);
})()
