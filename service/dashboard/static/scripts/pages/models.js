// What training produced: models, their versions and aliases, and a picture to try them on.

import { get, getAll } from "../api.js";
import { h } from "../dom.js";
import { createEmpty } from "../feedback.js";
import { createDownload } from "../files.js";
import { formatAgo, formatBytes, formatPercent, formatTime } from "../format.js";
import { createAliases, deleteVersion, moveAlias } from "../parts/aliases.js";
import { Classifier } from "../parts/classifier.js";

export async function showModels({ main, signal, setTitle }) {
  setTitle("Models");
  const [items, storage] = await Promise.all([
    getAll("/models", { signal }),
    get("/storage", { signal }),
  ]);
  main.replaceChildren(
    h("div", { class: "page-head" }, h("h1", {}, "Models")),
    items.length
      ? h(
          "ul",
          { class: "gallery" },
          items.map((model) => h("li", {}, createCard(model))),
        )
      : createEmpty(
          "No model yet",
          "A job that succeeds publishes one. The built-in data set of drawn shapes needs no download and is done in well under a minute.",
          h("a", { class: "button primary", href: "#/jobs/new?dataset=shapes" }, "Train on shapes"),
        ),
    createStorage(storage),
  );
}

function createStorage(storage) {
  const sizes = {
    Models: storage.models_bytes,
    Checkpoints: storage.checkpoints_bytes,
    "Database file": storage.database_bytes,
    "Free on its disk": storage.free_bytes,
    // Elsewhere only where TENFOLD_ARTIFACTS_URL says so.
    ...(storage.artifacts_free_bytes !== storage.free_bytes && {
      "Free for models and checkpoints": storage.artifacts_free_bytes,
    }),
  };
  return h(
    "section",
    { class: "card", "aria-labelledby": "storage-title" },
    h("h2", { id: "storage-title" }, "Storage"),
    h(
      "dl",
      { class: "tiles" },
      Object.entries(sizes).map(([name, bytes]) =>
        h("div", {}, h("dt", {}, name), h("dd", {}, formatBytes(bytes))),
      ),
    ),
    h(
      "p",
      { class: "soft small" },
      "Deleting ended jobs frees their checkpoints; deleting versions frees their files.",
    ),
  );
}

function createCard({ name, newest, aliases }) {
  return h(
    "article",
    { class: "card gallery-card" },
    h("h2", {}, h("a", { href: `#/models/${name}` }, name)),
    h(
      "dl",
      { class: "tiles" },
      h("div", {}, h("dt", {}, "Test accuracy"), h("dd", {}, formatPercent(newest.accuracy))),
      h("div", {}, h("dt", {}, "Newest version"), h("dd", {}, String(newest.version))),
    ),
    h(
      "p",
      { class: "soft small" },
      `${newest.network} on ${newest.dataset} · ${formatAgo(newest.created_at)}`,
    ),
    Object.keys(aliases).length > 0 &&
      h(
        "p",
        { class: "chips" },
        Object.entries(aliases).map(([alias, version]) =>
          h("span", { class: "badge", "data-tone": "good" }, `${alias} → ${version}`),
        ),
      ),
  );
}

export async function showModel({ main, argument: name, query, signal, setTitle }) {
  setTitle(name);
  const classifier = new Classifier(name, signal);
  const versions = h("div");
  const reload = async (chosen = null) => {
    const model = await get(`/models/${name}`, { signal });
    classifier.setVersions(model, chosen);
    versions.replaceChildren(createVersions(model, reload));
  };
  await reload(query.get("version"));
  main.replaceChildren(
    h(
      "div",
      { class: "page-head" },
      h("p", { class: "breadcrumb" }, h("a", { href: "#/models" }, "Models")),
      h("h1", {}, name),
    ),
    classifier.element,
    versions,
  );
}

function createVersions(model, reload) {
  return h(
    "section",
    { class: "card", "aria-labelledby": "versions-title" },
    h("h2", { id: "versions-title" }, "Versions"),
    h(
      "p",
      { class: "soft" },
      "An alias names a version for programs. Without a version, ",
      h("code", {}, "production"),
      " answers where it is set, else the newest version.",
    ),
    h(
      "div",
      { class: "table-scroll", role: "region", "aria-label": "Versions", tabindex: 0 },
      h(
        "table",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            ["Version", "Accuracy", "Aliases", "Trained", "Size"].map((title) =>
              h("th", { scope: "col" }, title),
            ),
            h("th", { scope: "col" }, h("span", { class: "visually-hidden" }, "Actions")),
          ),
        ),
        h(
          "tbody",
          {},
          model.versions.map((version) => createRow(model, version, reload)),
        ),
      ),
    ),
  );
}

function createRow(model, version, reload) {
  const download = `/models/${model.name}/versions/${version.version}/download`;
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, String(version.version)),
    h("td", {}, formatPercent(version.accuracy, 2)),
    h("td", {}, createAliases(model, version.version, reload)),
    h(
      "td",
      {},
      h("span", { title: formatTime(version.created_at) }, formatAgo(version.created_at)),
      h("br"),
      h(
        "span",
        { class: "small soft" },
        `${version.network} on ${version.dataset}`,
        version.job_id && [
          " · ",
          h("a", { href: `#/jobs/${version.job_id}` }, `job ${version.job_id}`),
        ],
      ),
    ),
    h("td", {}, formatBytes(version.size_bytes)),
    h(
      "td",
      {},
      h(
        "div",
        { class: "buttons" },
        h(
          "button",
          {
            class: "button small",
            type: "button",
            onclick: () => moveAlias(model, version.version, reload),
          },
          "Set alias…",
        ),
        createDownload(download, `${model.name}-${version.version}.zip`, "Download"),
        h(
          "button",
          {
            class: "button small danger",
            type: "button",
            onclick: () => deleteVersion(model, version.version, reload),
          },
          "Delete",
        ),
      ),
    ),
  );
}
