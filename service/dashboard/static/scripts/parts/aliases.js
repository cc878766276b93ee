// Sets, moves and removes the aliases of a model, and deletes a version.

import { send } from "../api.js";
import { h } from "../dom.js";
import { confirmAction, openDialog, runAction, showToast } from "../feedback.js";

const DEFAULT_ALIAS = "production";

/** The aliases of a version, each with a button that removes it. */
export function createAliases(model, version, reload) {
  const own = Object.entries(model.aliases).filter(([, target]) => target === version);
  return h(
    "span",
    { class: "chips" },
    own.map(([alias]) => {
      const button = h(
        "button",
        {
          type: "button",
          "aria-label": `Remove the alias ${alias}`,
          title: "Remove",
          onclick: () => runAction(button, remove),
        },
        "✕",
      );
      const remove = async () => {
        await send("DELETE", `/models/${model.name}/aliases/${alias}`);
        showToast(`The alias ${alias} is removed.`);
        await reload();
      };
      return h("span", { class: "badge", "data-tone": "good" }, alias, button);
    }),
  );
}

/** Ask for the name of an alias, and point it at the version. */
export function moveAlias(model, version, reload) {
  const { body, close } = openDialog(`Alias for version ${version}`, { narrow: true });
  const input = h("input", {
    type: "text",
    id: "alias",
    value: DEFAULT_ALIAS,
    list: "aliases",
    autocomplete: "off",
    spellcheck: "false",
    "aria-describedby": "alias-problem alias-effect",
    oninput: () => explain(),
  });
  const problem = h("p", { class: "problem", id: "alias-problem", role: "alert" });
  const effect = h("p", { class: "hint", id: "alias-effect" });
  const explain = () => {
    const target = model.aliases[input.value];
    effect.textContent =
      target === undefined
        ? "A new alias."
        : target === version
          ? "It points at this version already."
          : `It moves from version ${target}.`;
  };
  const save = async (event) => {
    event.preventDefault();
    try {
      await send("PUT", `/models/${model.name}/aliases/${encodeURIComponent(input.value)}`, {
        version,
      });
    } catch (error) {
      problem.textContent = input.value ? error.message : "Give the alias a name.";
      input.setAttribute("aria-invalid", "true");
      input.focus();
      return;
    }
    close();
    showToast(`${input.value} now means version ${version}.`);
    await reload();
  };
  body.append(
    h(
      "form",
      { onsubmit: save },
      h(
        "div",
        { class: "field" },
        h("label", { for: "alias" }, "Name"),
        input,
        h(
          "datalist",
          { id: "aliases" },
          Object.keys(model.aliases).map((alias) => h("option", { value: alias })),
        ),
        effect,
        problem,
      ),
      h(
        "div",
        { class: "dialog-foot" },
        h("button", { class: "button", type: "button", onclick: close }, "Close"),
        h("button", { class: "button primary" }, "Set alias"),
      ),
    ),
  );
  explain();
  input.select();
}

export async function deleteVersion(model, version, reload) {
  const question = "Its files, its report and the aliases that point at it go with it.";
  if (
    !(await confirmAction(
      `Delete version ${version} of ${model.name}?`,
      question,
      "Delete the version",
    ))
  )
    return;
  try {
    await send("DELETE", `/models/${model.name}/versions/${version}`);
  } catch (error) {
    showToast(error.message, "bad");
    return;
  }
  showToast(`Version ${version} is deleted.`);
  if (model.versions.length === 1) location.hash = "#/models";
  else await reload();
}
