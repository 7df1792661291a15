// What pages do beyond being read. Without this file they are whole; nothing is known here that the server does not say.
"use strict";
(() => {
  const root = document.documentElement;
  const kept = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
  const keep = (name, value) => { try { localStorage.setItem(name, value); } catch { /* a private window forgets */ } };
  const theme = kept("theme");
  if (theme === "dark" || theme === "light") root.dataset.theme = theme;
  root.classList.add("js");

  const all = (query, within = document) => [...within.querySelectorAll(query)];
  const grouped = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, ",");
  let skew = 0;

  // Times are counted on, in the words of words.rs.
  const span = (seconds) => {
    if (seconds < 90) return `${seconds} s`;
    if (seconds < 5400) return `${Math.floor((seconds + 30) / 60)} min`;
    if (seconds < 172800) return `${Math.floor((seconds + 1800) / 3600)} h`;
    return `${grouped(Math.floor((seconds + 43200) / 86400))} days`;
  };
  const tick = () => {
    const now = Date.now() + skew;
    for (const time of all("time[data-ago]")) {
      const past = Math.round((now - Date.parse(time.dateTime)) / 1000);
      if (Number.isNaN(past)) continue;
      time.textContent = Math.abs(past) < 5 ? "just now" : past > 0 ? `${span(past)} ago` : `in ${span(-past)}`;
    }
    for (const age of all("[data-age]")) {
      const past = Math.round((now - Date.parse(age.dataset.age)) / 1000);
      if (!Number.isNaN(past)) age.textContent = past < 0 ? "current" : `${span(past)} old`;
    }
  };

  const say = (text) => {
    const toast = document.querySelector(".toast");
    toast.textContent = text;
    toast.hidden = false;
    clearTimeout(say.timer);
    say.timer = setTimeout(() => { toast.hidden = true; }, 8000);
  };

  // The parts of another copy of this page that are not the same take the place of the old ones.
  const take = (html) => {
    const other = new DOMParser().parseFromString(html, "text/html");
    const parts = all("[data-live]", other);
    const old = all("[data-live]");
    if (parts.length === 0) return false;
    const marked = document.querySelector(".at")?.dataset.pipeline;
    const focus = document.activeElement;
    const [row, place] = [focus?.closest("[data-pipeline]")?.dataset.pipeline, focus?.tagName];
    if (parts.map((part) => part.id).join() !== old.map((part) => part.id).join()) {
      document.querySelector("main").replaceWith(document.importNode(other.querySelector("main"), true));
    } else {
      for (const part of parts) {
        const mine = document.getElementById(part.id);
        const typing = mine.contains(document.activeElement) && document.activeElement.matches("input");
        if (!typing && mine.outerHTML !== part.outerHTML) mine.replaceWith(document.importNode(part, true));
      }
    }
    // What was told of a button is of that moment; mistakes of the file come and go.
    all(".banner").forEach((banner) => banner.remove());
    document.querySelector("main").before(...all(".banner", other).map((banner) => document.importNode(banner, true)));
    document.title = other.title;
    document.querySelector(".foot span").textContent = other.querySelector(".foot span").textContent;
    skew = Date.parse(other.body.dataset.now) - Date.now() || 0;
    const same = (name) => all("[data-pipeline]").find((one) => one.dataset.pipeline === name);
    if (marked) same(marked)?.classList.add("at");
    if (row && !document.contains(focus)) same(row)?.querySelector(place === "BUTTON" ? "button" : "a")?.focus({ preventScroll: true });
    tick();
    if (document.body.dataset.watch) watchJobs();
    return true;
  };

  let asked = false;
  // While an answer is on its way, what happens may not be in it any more.
  let sent = false;
  let again = false;
  let last = 0;
  let pause = 2000;
  const refresh = () => {
    if (document.hidden) { refresh.missed = true; return; }
    if (asked) { again ||= sent; return; }
    asked = true;
    refresh.missed = false;
    // Many who watch do not all ask in the same moment, and none keeps a slow server busy with asking.
    const wait = Math.max(pause - (Date.now() - last), 0) + Math.random() * 300;
    setTimeout(async () => {
      const began = Date.now();
      sent = true;
      try {
        const answer = await fetch(location.href, { headers: { accept: "text/html" } });
        if (answer.redirected) { location.reload(); return; }
        if (answer.ok) take(await answer.text());
      } catch { /* the stream of events says when the server is back */ }
      last = Date.now();
      pause = Math.min(Math.max(2000, 20 * (last - began)), 30000);
      asked = sent = false;
      if (again) { again = false; refresh(); }
    }, wait);
  };

  const progress = ({ id, progress: far }) => {
    for (const part of all(`[data-job="${CSS.escape(id)}"]`)) {
      const bar = part.querySelector("progress");
      // One that has not begun has none: the page is about to be another.
      if (!bar) continue;
      part.querySelector("[data-done]").textContent = grouped(far.done);
      part.querySelector("[data-phase]").textContent = far.phase;
      if (far.all) { bar.max = far.all; bar.value = Math.min(far.done, far.all); }
    }
  };

  const heard = (message) => {
    try { return JSON.parse(message.data); } catch { return {}; }
  };

  // How far a piece of work is. A browser has few connections to a server: two are followed, of the others their beginning and
  // end is heard by all pages.
  const followed = new Map();
  const watchJobs = () => {
    const shown = new Set(all("[data-job]").map((part) => part.dataset.job));
    for (const [id, events] of followed) {
      if (!shown.has(id)) { events.close(); followed.delete(id); }
    }
    for (const id of [...shown].slice(0, 2)) {
      if (followed.has(id)) continue;
      const events = new EventSource(`/api/v1/jobs/${encodeURIComponent(id)}/events`);
      followed.set(id, events);
      events.addEventListener("job", (message) => {
        const job = heard(message);
        if (job.progress) progress(job);
        if (job.finished_at) { events.close(); refresh(); }
      });
      events.addEventListener("said", (message) => {
        if (["committed", "warning", "rejected"].includes(heard(message).event?.kind)) refresh();
      });
    }
  };

  // Of all work: that a piece of it began, ended or waits (`job`), that more is known of a pipeline (`pipeline`), that the file was
  // read anew (`project`).
  const follow = (watch) => {
    const state = document.querySelector("[data-link-state]");
    const events = new EventSource("/api/v1/events");
    for (const kind of ["job", "pipeline", "project"]) {
      events.addEventListener(kind, (message) => {
        const { pipeline } = heard(message);
        if (watch === "*" || !pipeline || pipeline === watch) refresh();
      });
    }
    events.onopen = () => { if (state.dataset.lost) refresh(); delete state.dataset.lost; state.textContent = "followed live"; };
    events.onerror = () => { state.dataset.lost = "1"; state.textContent = "the server does not answer"; };
    addEventListener("pagehide", () => { events.close(); followed.forEach((one) => one.close()); });
    watchJobs();
  };

  const press = async (form, button) => {
    if (form.dataset.sure && !confirm(form.dataset.sure)) return;
    // What is sent says which button it was.
    const body = new URLSearchParams(new FormData(form, button));
    button.disabled = true;
    try {
      const answer = await fetch(form.action, { method: "POST", body, headers: { accept: "text/html" } });
      const html = await answer.text();
      if (answer.ok) {
        if ("goes" in form.dataset) { location.assign(answer.url); return; }
        say(`${button.textContent}: ${form.dataset.said ?? "asked for"}`);
        // It leads to the page of what was asked for; whoever has a script stays here.
        if (new URL(answer.url).pathname !== location.pathname || !take(html)) refresh();
        return;
      }
      const told = new DOMParser().parseFromString(html, "text/html");
      say(told.querySelector("[data-what]")?.textContent ?? `The server answered ${answer.status}.`);
    } catch {
      say("The server does not answer. Nothing was done.");
    } finally {
      button.disabled = false;
    }
  };

  const turn = () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    keep("theme", root.dataset.theme);
  };

  const move = (by) => {
    const rows = all("[data-row]");
    if (rows.length === 0) return;
    const at = rows.findIndex((row) => row.classList.contains("at"));
    const next = rows[Math.min(Math.max(at + by, 0), rows.length - 1)];
    rows[at]?.classList.remove("at");
    next.classList.add("at");
    next.querySelector("a")?.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  };

  const keys = {
    "/": () => { const field = document.querySelector("[data-search]"); if (field) field.select(); else location.href = "/"; },
    j: () => move(1),
    k: () => move(-1),
    r: () => document.querySelector(".at .act button, .title .act button")?.click(),
    u: () => document.querySelector("[data-up]")?.click(),
    t: turn,
    "?": () => document.querySelector("[data-help]")?.click(),
  };

  document.addEventListener("DOMContentLoaded", () => {
    // What was told once is not told again when the page is loaded anew.
    if (location.search.startsWith("?told=")) history.replaceState(null, "", location.pathname);
    skew = Date.parse(document.body.dataset.now) - Date.now() || 0;
    document.querySelector("[data-theme-toggle]")?.addEventListener("click", turn);
    document.addEventListener("submit", (event) => {
      if (!event.target.matches("form.act")) return;
      event.preventDefault();
      press(event.target, event.submitter ?? event.target.querySelector("button"));
    });
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
      if (event.target.matches("input, textarea, select")) { if (event.key === "Escape") event.target.blur(); return; }
      const then = Object.hasOwn(keys, event.key) ? keys[event.key] : undefined;
      if (then) { event.preventDefault(); then(); }
    });
    document.addEventListener("visibilitychange", () => { if (!document.hidden && refresh.missed) refresh(); });
    setInterval(tick, 15000);
    const watch = document.body.dataset.watch;
    if (watch && location.protocol.startsWith("http")) follow(watch);
  });
})();
