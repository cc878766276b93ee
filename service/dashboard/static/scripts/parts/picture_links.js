// Links that save a chart as a file, for slides.

import { h } from "../dom.js";
import { createDownload } from "../files.js";

/** `address` is that of the picture without its ending, `name` what it shows. */
export function createPictureLinks(address, name) {
  const fileName = address.slice(1).replaceAll("/", "-");
  return h(
    "div",
    { class: "buttons" },
    ["svg", "png"].map((format) =>
      createDownload(
        `${address}.${format}`,
        `${fileName}.${format}`,
        `${name} as ${format.toUpperCase()}`,
      ),
    ),
  );
}
