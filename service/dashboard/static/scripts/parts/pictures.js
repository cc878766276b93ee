// Pictures of a data set with what they are and what the model took them for.

import { h } from "../dom.js";
import { loadPicture } from "../files.js";
import { formatPercent } from "../format.js";

/** Return a list of pictures. A prediction is {index, label, predicted, confidence}. */
export function createPictures(dataset, split, predictions) {
  return h(
    "ul",
    { class: "pictures" },
    predictions.map((prediction) => createPicture(dataset, split, prediction)),
  );
}

export function createPicture(dataset, split, { index, label, predicted, confidence }) {
  const address = `/datasets/${dataset}/images/${split}/${index}`;
  const isRight = label === predicted;
  const image = h("img", {
    alt: `Test image ${index}: ${label}`,
    width: 96,
    height: 96,
    loading: "lazy",
    decoding: "async",
  });
  const link = h("a", { href: address, target: "_blank", rel: "noopener" }, image);
  image.addEventListener(
    "error",
    () => link.replaceWith(h("p", { class: "picture-missing" }, "not on this machine")),
    { once: true },
  );
  // With a key the picture has an address of its own, which a new tab can show too.
  image.addEventListener("load", () => link.setAttribute("href", image.src), { once: true });
  loadPicture(image, address);
  return h(
    "li",
    { class: "picture" },
    link,
    h("p", {}, h("strong", {}, label)),
    h("p", { class: "small" }, isRight ? "recognised" : `taken for ${predicted}`),
    h("p", { class: "soft small" }, `${formatPercent(confidence)} sure`),
  );
}
