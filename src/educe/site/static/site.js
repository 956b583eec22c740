"use strict";
// Copying code, live runs and answers, and keys. Searching, voting and paging are htmx attributes in the pages.

function live(root) {
  for (const box of root.querySelectorAll("[data-events]:not([data-open])")) {
    box.dataset.open = "1";
    const source = new EventSource(box.dataset.events);
    // The server sends the same fragment that the page is made of, escaped there.
    source.addEventListener("fragment", (event) => {
      const typed = box.contains(document.activeElement) ? document.activeElement.dataset.keep : null;
      box.innerHTML = event.data;
      if (typed) box.querySelector(`[data-keep="${typed}"]`)?.focus();
      window.htmx?.process(box);
    });
    source.addEventListener("end", () => source.close());
    // A browser opens a broken stream again by itself; one that the server refused is over.
    source.addEventListener("error", () => { if (source.readyState === EventSource.CLOSED) box.removeAttribute("aria-busy"); });
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = document.getElementById(button.dataset.copy).textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    const range = document.createRange();
    range.selectNodeContents(document.getElementById(button.dataset.copy));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches("input, textarea, select, [contenteditable]");
  if (event.key === "Escape" && typing) event.target.blur();
  if (typing) return;
  if (event.key === "/") {
    event.preventDefault();
    document.getElementById("q").focus();
  } else if (event.key === "j" || event.key === "k") {
    const links = [...document.querySelectorAll("[data-row] h2 a")];
    const place = links.indexOf(document.activeElement);
    const next = links[event.key === "j" ? place + 1 : Math.max(place - 1, 0)];
    next?.focus();
    next?.closest("[data-row]").scrollIntoView({ block: "nearest" });
  }
});

for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false;
document.addEventListener("htmx:load", (event) => live(event.target));
live(document);
