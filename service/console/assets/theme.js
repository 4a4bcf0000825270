// Light or dark: as the system says, or as the person chose; the choice stays in this browser.
(() => {
  const NAME = "headgate-theme";
  const root = document.documentElement;
  const apply = (theme) => {
    if (theme) root.dataset.theme = theme;
    else delete root.dataset.theme;
  };
  apply(localStorage.getItem(NAME));
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("#hg-theme");
    if (!button) return;
    const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    const now = root.dataset.theme || system;
    const next = now === "dark" ? "light" : "dark";
    if (next === system) localStorage.removeItem(NAME);
    else localStorage.setItem(NAME, next);
    apply(next === system ? null : next);
    window.dispatchEvent(new Event(NAME));
  });
})();
