// What in a picture spoke for a class. Fetched when it is opened: the model answers 250 times.

import { request } from "../api.js";
import { h } from "../dom.js";
import { createProblem } from "../feedback.js";

/** A part to unfold. `model` is `name@version`, `classes` the names to choose from. */
export function createExplanation(picture, model, classes) {
  const choice = h(
    "select",
    { class: "compact", onchange: () => load() },
    classes.map((name) => h("option", { value: name }, name)),
  );
  const place = h("div", { class: "explanation-place", "aria-live": "polite" });
  let asked = 0;
  const load = async () => {
    const name = choice.value;
    const number = ++asked;
    place.replaceChildren(h("p", { class: "soft small" }, "Covering parts of the picture…"));
    const content = await explain(picture, model, name).catch(createProblem);
    // Another class may have been chosen meanwhile.
    if (number === asked) place.replaceChildren(content);
  };
  return h(
    "details",
    {
      class: "explanation",
      ontoggle: (event) => event.target.open && asked === 0 && load(),
    },
    h("summary", {}, "What spoke for it?"),
    h("label", { class: "inline-field" }, "For and against", choice),
    place,
  );
}

async function explain(picture, model, name) {
  const query = new URLSearchParams({ model, class: name });
  const response = await request(`/explain?${query}`, {
    method: "POST",
    body: picture,
    headers: { "Content-Type": picture.type || "application/octet-stream", Accept: "image/png" },
  });
  const address = URL.createObjectURL(await response.blob());
  const alt = `Heat map: red spoke for ${name}, blue against it`;
  const image = h("img", { src: address, alt });
  image.addEventListener("load", () => URL.revokeObjectURL(address));
  return h(
    "figure",
    {},
    image,
    h("figcaption", { class: "soft small" }, `Red spoke for ${name}, blue against it.`),
  );
}
