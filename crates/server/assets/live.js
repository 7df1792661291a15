// Keeps a page up to date. Without it every page reads the same, as of when it was loaded.
"use strict";

// Parts of the page that are made anew by the server, and how long to wait for more news before asking.
const PAUSE = 700;
let asked = null;
let busy = false;

async function refresh() {
  asked = null;
  // Who is about to press a button, or writes into a field, is not disturbed.
  if (busy || document.hidden) return;
  try {
    const answer = await fetch(location.pathname, { headers: { accept: "text/html" } });
    if (!answer.ok || answer.redirected) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-part]")) {
      const now = page.querySelector(`[data-part="${part.dataset.part}"]`);
      if (!now || now.innerHTML === part.innerHTML || part.contains(document.activeElement) && document.activeElement.tagName === "INPUT") continue;
      const focus = part.contains(document.activeElement) ? [...part.querySelectorAll("a,button,summary")].indexOf(document.activeElement) : -1;
      part.replaceChildren(...now.childNodes);
      if (focus >= 0) part.querySelectorAll("a,button,summary")[focus]?.focus();
    }
    document.title = page.title;
  } catch {
    // The server is not there now; the stream of events comes back with it.
  }
}

function soon() {
  asked ??= setTimeout(refresh, PAUSE + Math.random() * 300);
}

function watchAll(name) {
  const events = new EventSource("/api/v1/events");
  let first = true;
  events.addEventListener("open", () => { if (!first) soon(); first = false; });
  for (const kind of ["job", "pipeline"]) {
    events.addEventListener(kind, (event) => {
      if (name === "all" || JSON.parse(event.data).pipeline === name) soon();
    });
  }
}

function watchJob(id) {
  const events = new EventSource(`/api/v1/jobs/${encodeURIComponent(id)}/events`);
  const bar = document.querySelector("[data-bar]");
  const phase = document.querySelector("[data-phase]");
  let status = null;
  events.addEventListener("job", (event) => {
    const job = JSON.parse(event.data);
    const progress = job.progress;
    if (progress && phase?.isConnected) {
      phase.textContent = progress.done > 0 ? `${progress.phase}: ${progress.done.toLocaleString("en")} ${progress.unit}` : progress.phase;
      if (bar && progress.all) { bar.max = progress.all; bar.value = Math.min(progress.done, progress.all); }
    }
    if (status !== null && job.status !== status) soon();
    status = job.status;
    if (job.finished_at) { events.close(); soon(); }
  });
  events.addEventListener("said", (event) => {
    if (JSON.parse(event.data).event.kind === "committed") soon();
  });
}

// Ages grow while a page lies open.
function age() {
  const now = Date.now();
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const away = Math.round((now - Date.parse(time.dateTime)) / 1000);
    const s = Math.abs(away);
    const days = Math.floor(s / 86400);
    const span = s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min` : s < 172800 ? `${Math.floor(s / 3600)} h` : `${days} days`;
    time.textContent = s < 1 ? "now" : away > 0 ? `${span} ago` : `in ${span}`;
  }
}

document.addEventListener("submit", (event) => {
  busy = true;
  for (const button of event.target.querySelectorAll("button")) button.setAttribute("aria-busy", "true");
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(); });
window.addEventListener("pageshow", () => { busy = false; });
setInterval(age, 15000);
if (document.body.dataset.job) watchJob(document.body.dataset.job);
else if (document.body.dataset.live) watchAll(document.body.dataset.live);
// What was told once is not told again when the page is loaded anew.
if (location.search.startsWith("?told=")) history.replaceState(null, "", location.pathname);
