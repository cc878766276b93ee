// What happened to a job, newest first.

import { h } from "../dom.js";
import { formatClock, formatName, formatTime } from "../format.js";

export class EventList {
  constructor() {
    this.list = h("ol", {
      class: "event-list",
      tabindex: 0,
      "aria-label": "Events, newest first",
      reversed: true,
    });
    this.newestId = 0;
    this.none = h("p", { class: "soft" }, "Nothing has happened yet.");
    this.element = h(
      "section",
      { class: "card", "aria-labelledby": "events-title" },
      h("h2", { id: "events-title" }, "Events"),
      this.none,
      this.list,
    );
  }

  /** Add an event; one that is here already (a stream that began anew) is left out. */
  add(event) {
    if (event.id <= this.newestId) return;
    this.newestId = event.id;
    this.none.hidden = true;
    this.list.prepend(
      h(
        "li",
        {},
        h(
          "time",
          { datetime: event.created_at, title: formatTime(event.created_at) },
          formatClock(event.created_at),
        ),
        h(
          "div",
          {},
          h("p", {}, event.message || formatName(event.kind)),
          h("p", { class: "event-kind" }, formatName(event.kind)),
        ),
      ),
    );
  }
}
