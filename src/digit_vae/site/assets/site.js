// What every page does: a table that is wider than the screen can be reached and scrolled with the keyboard.
for (const box of document.querySelectorAll(".scroll")) {
  const update = () => {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  };
  new ResizeObserver(update).observe(box);
}
