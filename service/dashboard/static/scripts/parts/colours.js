// The colours of the style sheets for what is drawn on a canvas, which cannot read them itself.

/** Run `redraw` when the system changes between light and dark. */
export function onSchemeChange(redraw, signal) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw, { signal });
}

export function isDark() {
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

export function readColour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
