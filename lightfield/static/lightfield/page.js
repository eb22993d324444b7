// What the admin's own pages do in the browser: copy, ask before what cannot be undone, renew what goes on.
"use strict";

(() => {
  const OFTEN_MS = 2000; // unless `data-live` says otherwise

  function didIt(button) {
    const symbol = button.querySelector(".material-symbols-outlined");
    if (!symbol) return;
    const before = symbol.textContent;
    symbol.textContent = "check";
    button.classList.add("lf-did");
    setTimeout(() => {
      symbol.textContent = before;
      button.classList.remove("lf-did");
    }, 1500);
  }

  async function copy(button) {
    const text = button.dataset.copy;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without HTTPS there is no clipboard; the old way still works.
      const holder = document.createElement("textarea");
      holder.value = text;
      holder.style.position = "fixed";
      holder.style.opacity = "0";
      document.body.append(holder);
      holder.select();
      document.execCommand("copy");
      holder.remove();
    }
    didIt(button);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
  });

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.confirm && !window.confirm(form.dataset.confirm)) {
      event.preventDefault();
      return;
    }
    if (!form.matches(".lf-deed, .lf-once")) return;
    // After the browser has read which button was pressed.
    setTimeout(() => form.querySelectorAll("button[type=submit]").forEach((button) => (button.disabled = true)), 0);
  });
  // Back in history brings the page back as it was, with its buttons off.
  window.addEventListener("pageshow", () =>
    document.querySelectorAll(".lf-deed button, .lf-once button").forEach((button) => (button.disabled = false)),
  );

  function isBusy(live) {
    const selected = window.getSelection();
    return document.hidden || (selected && !selected.isCollapsed && live.contains(selected.anchorNode));
  }

  async function renew() {
    const live = document.getElementById("lf-live");
    const mark = live && live.querySelector("[data-live]");
    if (!mark) return;
    if (!isBusy(live)) {
      try {
        const answer = await fetch(window.location.href, { headers: { Accept: "text/html" }, redirect: "error" });
        if (answer.ok) put(live, new DOMParser().parseFromString(await answer.text(), "text/html"));
      } catch {
        // The server restarts or the network is gone: the next try may do better.
      }
    }
    setTimeout(renew, Number(mark.dataset.live) || OFTEN_MS);
  }

  function put(live, page) {
    const fresh = page.getElementById("lf-live");
    if (!fresh || fresh.innerHTML === live.innerHTML) return;
    const open = new Map([...live.querySelectorAll("details[id]")].map((one) => [one.id, one.open]));
    fresh.querySelectorAll("details[id]").forEach((one) => {
      if (open.has(one.id)) one.open = open.get(one.id);
    });
    const focused = document.activeElement && live.contains(document.activeElement) ? document.activeElement : null;
    const place = focused ? [...live.querySelectorAll("a, button, summary, [tabindex]")].indexOf(focused) : -1;
    live.replaceChildren(...fresh.childNodes);
    if (place >= 0) live.querySelectorAll("a, button, summary, [tabindex]")[place]?.focus({ preventScroll: true });
  }

  // On a phone a list names each value by its column, as the model's field is called: `shard`.
  function capitalise() {
    document.querySelectorAll(".result-list td[data-label]").forEach((cell) => {
      const label = cell.dataset.label;
      if (label) cell.dataset.label = label[0].toUpperCase() + label.slice(1);
    });
  }

  document.addEventListener("DOMContentLoaded", capitalise);
  document.addEventListener("DOMContentLoaded", () => setTimeout(renew, OFTEN_MS));
})();
