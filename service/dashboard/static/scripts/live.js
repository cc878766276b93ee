// Keeps a page up to date while somebody looks at it, and leaves the service alone while not.

import { ConnectionLost, request } from "./api.js";

const RETRY_SECONDS = 2;

/** Do `task` again after each interval. Waits while the page is hidden; ends with `signal`.
 *
 * `task` may return false to end it. A lost connection is waited out; other errors end the polling
 * and go to `onError`.
 */
export async function poll(task, { intervalSeconds, signal, onError = reportError }) {
  for (;;) {
    await sleep(intervalSeconds, signal);
    await becomeVisible(signal);
    if (signal.aborted) return;
    try {
      if ((await task()) === false) return;
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ConnectionLost)) {
        onError(error);
        return;
      }
    }
  }
}

/** Follow a job's events (SSE) until the job has ended; picks up where it was after a break. */
export async function followEvents(jobId, { onEvent, signal }) {
  let lastId = null;
  while (!signal.aborted) {
    await becomeVisible(signal);
    if (signal.aborted) return;
    const stream = new AbortController();
    const stop = () => stream.abort();
    const stopWhenHidden = () => document.hidden && stop();
    signal.addEventListener("abort", stop, { once: true });
    document.addEventListener("visibilitychange", stopWhenHidden);
    try {
      const headers = { Accept: "text/event-stream", ...(lastId && { "Last-Event-ID": lastId }) };
      const response = await request(`/jobs/${jobId}/events`, { headers, signal: stream.signal });
      if (response.status === 204) return;
      for await (const event of readEvents(response.body)) {
        lastId = event.id;
        onEvent(JSON.parse(event.data));
      }
    } catch (error) {
      if (signal.aborted || error.status === 404) return;
      await sleep(RETRY_SECONDS, signal);
    } finally {
      signal.removeEventListener("abort", stop);
      document.removeEventListener("visibilitychange", stopWhenHidden);
    }
  }
}

/** Yield {id, event, data} of a server-sent event stream. */
async function* readEvents(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    buffer += value;
    const blocks = buffer.split(/\r?\n\r?\n/);
    buffer = blocks.pop();
    for (const block of blocks) {
      const event = Object.fromEntries(
        block
          .split(/\r?\n/)
          .filter((line) => !line.startsWith(":"))
          .map(splitField),
      );
      if (event.data) yield event;
    }
  }
}

function splitField(line) {
  const [name] = line.split(":", 1);
  return [name, line.slice(name.length + 1).replace(/^ /, "")];
}

function becomeVisible(signal) {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => {
    const look = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      signal.removeEventListener("abort", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look);
  });
}

function sleep(seconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(finish, seconds * 1000);
    function finish() {
      clearTimeout(timer);
      signal.removeEventListener("abort", finish);
      resolve();
    }
    signal.addEventListener("abort", finish);
  });
}
