// Messages: what failed, what is empty, what was done, and the question before something is lost.

import { createText, h } from "./dom.js";

const TOAST_SECONDS = 5;

/** A box that says what went wrong and what to do. */
export function createProblem(error) {
  const title = error.title || "Something went wrong";
  return h(
    "div",
    { class: "message", "data-tone": "bad", role: "alert" },
    h("strong", {}, title),
    h("p", {}, createText(error.message)),
  );
}

export function createMessage(tone, title, ...content) {
  return h("div", { class: "message", "data-tone": tone }, h("strong", {}, title), content);
}

/** A box for a list without entries: what it would hold, and how to get one. */
export function createEmpty(title, text, ...actions) {
  return h(
    "section",
    { class: "empty" },
    h("h2", {}, title),
    h("p", {}, createText(text)),
    h("div", { class: "buttons" }, actions),
  );
}

export function createLoading(text = "Loading…") {
  return h("p", { class: "loading", role: "status" }, text);
}

export function showToast(text, tone = null) {
  const toast = h("p", { class: "toast", "data-tone": tone }, text);
  document.getElementById("toasts").append(toast);
  setTimeout(() => toast.remove(), TOAST_SECONDS * 1000);
}

/** Do something on a click: the button waits meanwhile, and a failure is told. */
export async function runAction(button, action) {
  button.disabled = true;
  try {
    await action();
  } catch (error) {
    if (error.name !== "AbortError") showToast(error.message, "bad");
  } finally {
    button.disabled = false;
  }
}

export function createActionButton(name, action, kind = "") {
  const button = h(
    "button",
    { class: `button ${kind}`, type: "button", onclick: () => runAction(button, action) },
    name,
  );
  return button;
}

/** Open a dialog. Returns {dialog, body, close}; it is gone once closed. */
export function openDialog(title, { narrow = false } = {}) {
  const close = () => dialog.close();
  const heading = h("h2", { id: "dialog-title", tabindex: -1, autofocus: true }, title);
  const body = h(
    "div",
    { class: "dialog-body" },
    h(
      "div",
      { class: "dialog-head" },
      heading,
      h(
        "button",
        { class: "button small icon", type: "button", "aria-label": "Close", onclick: close },
        "✕",
      ),
    ),
  );
  const dialog = h(
    "dialog",
    { class: narrow ? "narrow" : null, "aria-labelledby": "dialog-title" },
    body,
  );
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && close());
  // Another page must not stay behind the dialog of this one.
  window.addEventListener("hashchange", close, { once: true });
  document.body.append(dialog);
  dialog.showModal();
  return { dialog, body, close };
}

/** Ask before something that cannot be taken back. Resolves to whether the user agreed. */
export function confirmAction(title, text, verb) {
  const { dialog, body, close } = openDialog(title, { narrow: true });
  return new Promise((resolve) => {
    let agreed = false;
    const agree = () => {
      agreed = true;
      close();
    };
    body.append(
      h("p", {}, text),
      h(
        "div",
        { class: "dialog-foot" },
        h("button", { class: "button", type: "button", onclick: close }, "Keep it"),
        h("button", { class: "button danger", type: "button", onclick: agree }, verb),
      ),
    );
    dialog.addEventListener("close", () => resolve(agreed));
  });
}
