"use strict";
(() => {
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  const words = (text) => text.split(" ");
  const VIEWS = ["words", "credit", "plain"];

  const links = document.querySelectorAll("nav a");
  const groups = [...document.querySelectorAll("article.group")].map((element, place) => ({
    element,
    link: links[place],
    facets: new Set(words(element.dataset.group)),
    cards: [...element.querySelectorAll(".card")].map((card) => ({
      element: card,
      facets: new Set(words(card.dataset.row)),
    })),
    text: null,
  }));
  const groupOf = new Map(groups.map((group) => [group.element, group]));
  const chips = [...document.querySelectorAll("[data-facet]")];
  const search = byId("search");
  const help = byId("help");
  let current = null;

  // Which groups are shown

  const saidIn = (group) => {
    group.text ??= [...group.element.querySelectorAll(".said")]
      .map((part) => part.textContent)
      .join("\n")
      .toLowerCase();
    return group.text;
  };

  // Alternatives by line of chips; those of rows have to hold for one row.
  const chosenFacets = () => {
    const lines = { group: new Map(), row: new Map() };
    for (const chip of chips) {
      if (chip.getAttribute("aria-pressed") !== "true") continue;
      const facet = chip.dataset.facet;
      const line = facet.slice(0, facet.indexOf(":"));
      const of = line === "role" || line === "acc" ? lines.row : lines.group;
      of.set(line, [...(of.get(line) ?? []), facet]);
    }
    return { group: [...lines.group.values()], row: [...lines.row.values()] };
  };
  const holds = (facets, lines) => lines.every((line) => line.some((facet) => facets.has(facet)));

  const filter = () => {
    const lines = chosenFacets();
    const text = search.value.trim().toLowerCase();
    let shown = 0;
    for (const group of groups) {
      const hits = lines.row.length
        ? group.cards.filter((card) => holds(card.facets, lines.row))
        : [];
      const fits =
        holds(group.facets, lines.group) &&
        (!lines.row.length || hits.length > 0) &&
        (!text || saidIn(group).includes(text));
      group.element.hidden = !fits;
      group.link.parentElement.hidden = !fits;
      shown += fits;
      if (fits) outline(group, new Set(hits));
    }
    byId("shown").textContent = `${shown} of ${groups.length} groups`;
    byId("empty").hidden = shown > 0;
    root.classList.toggle("filtered", shown < groups.length);
    if (current === null || current.element.hidden) {
      go(groups.find((group) => !group.element.hidden) ?? null, false);
    }
  };

  const outline = (group, hits) => {
    for (const card of group.cards) card.element.classList.toggle("hit", hits.has(card));
    const others = group.element.querySelector(".others");
    if (others && hits.size && [...hits].every((card) => others.contains(card.element))) {
      others.open = true;
    }
  };

  const clear = () => {
    search.value = "";
    for (const chip of chips) chip.setAttribute("aria-pressed", "false");
    filter();
  };

  // Where we are

  const go = (group, scroll = true) => {
    if (current !== group) {
      current?.element.classList.remove("current");
      current?.link.removeAttribute("aria-current");
    }
    current = group;
    if (!group) return;
    group.element.classList.add("current");
    group.link.setAttribute("aria-current", "true");
    group.link.scrollIntoView({ block: "nearest" });
    if (scroll) {
      group.element.scrollIntoView({ block: "start" });
      history.replaceState(null, "", `#${encodeURIComponent(group.element.id)}`);
    }
  };

  const step = (by) => {
    const shown = groups.filter((group) => !group.element.hidden);
    if (!shown.length) return;
    const place = shown.indexOf(current) + by;
    go(shown[Math.min(Math.max(place, 0), shown.length - 1)]);
  };

  const closeSide = () => {
    document.body.classList.remove("side-open");
    byId("menu").setAttribute("aria-expanded", "false");
  };

  const follow = () => {
    const hash = decodeURIComponent(location.hash.slice(1));
    const group = groups.find((one) => one.element.id === hash);
    if (!group) return;
    if (group.element.hidden) clear();
    closeSide();
    go(group);
  };

  // The group under the bar is the current one.
  let waiting = false;
  const spy = () => {
    waiting = false;
    const main = byId("main").getBoundingClientRect();
    const line = document.querySelector(".bar").getBoundingClientRect().bottom + 14;
    const found = document.elementFromPoint(main.left + main.width / 2, line)?.closest("article");
    const group = found && groupOf.get(found);
    if (group && group !== current) go(group, false);
  };

  // Which row stands beside the anchor

  const choose = (element, session, scroll) => {
    for (const card of element.querySelectorAll(".card")) {
      const chosen = card.dataset.session === session;
      card.classList.toggle("chosen", chosen);
      if (chosen) card.setAttribute("aria-current", "true");
      else card.removeAttribute("aria-current");
      if (chosen && scroll) card.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
    for (const part of element.querySelectorAll("[data-differs]")) {
      part.classList.toggle("missing", words(part.dataset.differs).includes(session));
    }
  };
  const compared = (element) => [
    ...element.querySelectorAll(":scope > .strip > .card:not(.reference)"),
  ];
  const turn = (by) => {
    if (!current) return;
    const cards = compared(current.element);
    if (!cards.length) return;
    const place = cards.findIndex((card) => card.classList.contains("chosen")) + by;
    const card = cards[Math.min(Math.max(place, 0), cards.length - 1)];
    choose(current.element, card.dataset.session, true);
  };

  // What is coloured

  const look = (view) => {
    root.dataset.view = view;
    for (const button of document.querySelectorAll("[data-to]")) {
      button.setAttribute("aria-pressed", String(button.dataset.to === view));
    }
  };

  // Hands

  const KEYS = {
    j: () => step(1),
    ArrowRight: () => step(1),
    k: () => step(-1),
    ArrowLeft: () => step(-1),
    n: () => turn(1),
    p: () => turn(-1),
    v: () => look(VIEWS[(VIEWS.indexOf(root.dataset.view) + 1) % VIEWS.length]),
    "/": () => {
      document.body.classList.add("side-open");
      search.focus();
      search.select();
    },
    "?": () => help.showModal(),
    Escape: () => {
      document.body.classList.remove("side-open");
      clear();
    },
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    const typing = event.target === search;
    if (typing && event.key === "Escape") search.blur();
    if (typing && event.key === "Enter") {
      search.blur();
      step(0);
    }
    if (typing && event.key !== "Escape") return;
    // A strip that is being scrolled keeps its own arrows.
    if (event.key.startsWith("Arrow") && event.target.closest(".strip, .table")) return;
    const act = KEYS[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });

  document.addEventListener("click", (event) => {
    const target = event.target;
    const chip = target.closest("[data-facet]");
    const picture = target.closest(".picture");
    const card = target.closest(".card:not(.reference)");
    const to = target.closest("[data-to]");
    // At once, and where we are already too: then there is no hashchange.
    if (target.closest("nav a")) closeSide();
    if (chip) {
      chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
      filter();
    } else if (to) {
      look(to.dataset.to);
    } else if (picture) {
      picture.setAttribute("aria-pressed", String(picture.classList.toggle("large")));
    } else if (card) {
      choose(card.closest("article"), card.dataset.session, false);
    }
  });

  byId("clear").addEventListener("click", clear);
  byId("ask").addEventListener("click", () => help.showModal());
  byId("menu").addEventListener("click", () => {
    const open = document.body.classList.toggle("side-open");
    byId("menu").setAttribute("aria-expanded", String(open));
  });
  let typed = 0;
  search.addEventListener("input", () => {
    clearTimeout(typed);
    typed = setTimeout(filter, 120);
  });
  window.addEventListener("hashchange", follow);
  window.addEventListener(
    "scroll",
    () => {
      if (!waiting) requestAnimationFrame(spy);
      waiting = true;
    },
    { passive: true },
  );

  for (const group of groups) {
    const first = compared(group.element)[0];
    if (first) choose(group.element, first.dataset.session, false);
  }
  if (location.hash) follow();
  if (current === null) go(groups[0], false);
})();
