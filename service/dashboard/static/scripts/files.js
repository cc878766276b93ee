// Pictures and downloads. A browser fetches those by itself, but cannot send a key with them.

import { request } from "./api.js";
import { h } from "./dom.js";
import { runAction } from "./feedback.js";
import { hasKey } from "./key.js";

const nearby = new IntersectionObserver(
  (entries) => {
    const arrived = entries.filter((entry) => entry.isIntersecting);
    for (const { target } of arrived) target.dispatchEvent(new Event("near"));
  },
  { rootMargin: "400px" },
);

/** Give an image its picture; one that is `loading="lazy"` waits until it is nearly in sight. */
export function loadPicture(image, address) {
  if (!hasKey()) {
    image.src = address;
    return image;
  }
  const load = async () => {
    try {
      image.src = await fetchAddress(address);
    } catch {
      image.dispatchEvent(new Event("error"));
    }
  };
  if (image.loading === "lazy") {
    image.addEventListener("near", load, { once: true });
    image.addEventListener("near", () => nearby.unobserve(image), { once: true });
    nearby.observe(image);
  } else load();
  return image;
}

/** A link that saves the file of an address under a name. */
export function createDownload(address, name, text) {
  const link = h("a", { class: "button small", href: address, download: name }, text);
  link.addEventListener("click", (event) => {
    if (!hasKey() || link.href.startsWith("blob:")) return;
    event.preventDefault();
    runAction(link, async () => {
      const copy = h("a", { href: await fetchAddress(address), download: name });
      copy.click();
      URL.revokeObjectURL(copy.href);
    });
  });
  return link;
}

async function fetchAddress(address) {
  const response = await request(address);
  return URL.createObjectURL(await response.blob());
}
