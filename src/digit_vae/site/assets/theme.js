// The theme: the browser's own, or the one that the visitor chose. It listens for the button once the page is there.
// Whoever paints by hand (a canvas) hears "themechange" on the document.
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const stored = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // storage is switched off
    }
  };
  const store = (theme) => {
    try {
      localStorage.setItem("theme", theme);
    } catch {
      // The choice holds for this page alone.
    }
  };
  let chosen = stored();
  const current = () => chosen ?? (dark.matches ? "dark" : "light");

  function show() {
    const theme = current();
    root.dataset.theme = theme;
    const button = document.getElementById("theme");
    if (button) {
      button.hidden = false;
      button.textContent = theme === "dark" ? "Light" : "Dark";
      button.setAttribute("aria-label", theme === "dark" ? "Light theme" : "Dark theme");
    }
    document.dispatchEvent(new Event("themechange"));
  }

  show();
  dark.addEventListener("change", show);
  document.addEventListener("DOMContentLoaded", () => {
    show();
    document.getElementById("theme").addEventListener("click", () => {
      chosen = current() === "dark" ? "light" : "dark";
      store(chosen);
      show();
    });
  });
})();
