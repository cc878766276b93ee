// The API key, where the service asks for one: kept for this tab until it is closed or forgotten.

import { h } from "./dom.js";
import { openDialog } from "./feedback.js";

const PLACE = "tenfold-api-key";

/** "changed" when a key was given or forgotten. */
export const keyChanges = new EventTarget();
let asking = null;
// Whoever closed the question is not asked again by what goes on in the background.
let isDeclined = false;
window.addEventListener("hashchange", () => {
  isDeclined = false;
});

export function hasKey() {
  return sessionStorage.getItem(PLACE) !== null;
}

/** The headers that every request needs; none while there is no key. */
export function keyHeaders() {
  const key = sessionStorage.getItem(PLACE);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

export function forgetKey() {
  sessionStorage.removeItem(PLACE);
  keyChanges.dispatchEvent(new Event("changed"));
}

/** Ask for a key, once for all requests that wait for it. Resolves to whether one was given. */
export function askForKey(reason) {
  if (isDeclined) return Promise.resolve(false);
  asking ??= openForm(reason)
    .then((isGiven) => {
      isDeclined = !isGiven;
      return isGiven;
    })
    .finally(() => {
      asking = null;
    });
  return asking;
}

function openForm(reason) {
  const { dialog, body, close } = openDialog("This service asks for an API key", { narrow: true });
  return new Promise((resolve) => {
    let isGiven = false;
    const input = h("input", {
      id: "api-key",
      type: "password",
      autocomplete: "off",
      spellcheck: "false",
      required: true,
      "aria-describedby": "api-key-hint",
    });
    const keep = (event) => {
      event.preventDefault();
      const key = input.value.trim();
      if (!/^[!-~]+$/.test(key)) return;
      sessionStorage.setItem(PLACE, key);
      isGiven = true;
      close();
      keyChanges.dispatchEvent(new Event("changed"));
    };
    body.append(
      h(
        "form",
        { onsubmit: keep },
        h("p", {}, reason),
        h(
          "div",
          { class: "field" },
          h("label", { for: "api-key" }, "API key"),
          input,
          h(
            "p",
            { class: "hint", id: "api-key-hint" },
            "It stays in this tab. ",
            h("code", {}, "tenfold keys create"),
            " makes one.",
          ),
        ),
        h(
          "div",
          { class: "dialog-foot" },
          h("button", { class: "button primary", type: "submit" }, "Use this key"),
        ),
      ),
    );
    dialog.addEventListener("close", () => resolve(isGiven));
    input.focus();
  });
}
