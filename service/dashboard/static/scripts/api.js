// Speaks to the public API, and tells the page when the service is gone and when it is back.

import { askForKey, keyHeaders } from "./key.js";

/** "lost" when a request got no answer, "found" when one did again. */
export const connection = new EventTarget();
let isLost = false;

/** What the service refused: an RFC 9457 problem. `errors` are {in, field, message}. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `The service answered ${status}.`);
    this.name = "Problem";
    this.status = status;
    this.code = body.code || "unknown";
    this.title = body.title || "The service refused";
    this.errors = body.errors || [];
  }
}

/** The service did not answer at all. */
export class ConnectionLost extends Error {
  constructor() {
    super("The service does not answer. Start it with `make serve`, or check the network.");
    this.name = "ConnectionLost";
  }
}

/** Return the response. Throws Problem, ConnectionLost, or the AbortError of `signal`.
 *
 * Where the service wants a key, or another one, the user is asked, and the request sent again.
 */
export async function request(path, options = {}) {
  for (;;) {
    const response = await fetchWithKey(path, options);
    if (response.ok) return response;
    const problem = new Problem(response.status, await readProblem(response));
    if (response.status !== 401 || !(await askForKey(problem.message))) throw problem;
  }
}

async function fetchWithKey(path, options) {
  try {
    const headers = { ...options.headers, ...keyHeaders() };
    const response = await fetch(path, { ...options, headers });
    setLost(false);
    return response;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    setLost(true);
    throw new ConnectionLost();
  }
}

async function readProblem(response) {
  try {
    return await response.json();
  } catch {
    return {};
  }
}

function setLost(value) {
  if (value === isLost) return;
  isLost = value;
  connection.dispatchEvent(new Event(value ? "lost" : "found"));
}

/** GET JSON. Parameters that are null, undefined or "" are left out. */
export async function get(path, { signal, ...parameters } = {}) {
  const given = Object.entries(parameters).filter(
    ([, value]) => value !== null && value !== undefined && value !== "",
  );
  const query = new URLSearchParams(given).toString();
  const response = await request(query ? `${path}?${query}` : path, {
    signal,
    headers: { Accept: "application/json" },
  });
  return response.json();
}

/** Send JSON, and return the JSON of the reply or null. */
export async function send(method, path, body = undefined, headers = {}) {
  const response = await request(path, {
    method,
    headers: body === undefined ? headers : { "Content-Type": "application/json", ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  return response.status === 204 ? null : response.json();
}

/** Return all items of a cursor list, up to `most` of them. */
export async function getAll(path, { most = 400, ...parameters } = {}) {
  const items = [];
  let cursor = null;
  do {
    const page = await get(path, { ...parameters, limit: Math.min(200, most), cursor });
    items.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor && items.length < most);
  return items;
}

/** Posts what is filled in: pressing twice, or again after a lost reply, does the work once. */
export class Submission {
  #path;
  #key = createKey();

  constructor(path) {
    this.#path = path;
  }

  /** Return the JSON of the reply. Throws what `request` throws. */
  async post(body) {
    try {
      return await send("POST", this.#path, body, { "Idempotency-Key": this.#key });
    } catch (error) {
      // The key belongs to the body that was refused or to a changed one: the next try is another.
      if (error instanceof Problem) this.#key = createKey();
      throw error;
    }
  }
}

function createKey() {
  // Unlike randomUUID, this works on pages that came over plain HTTP.
  return [...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");
}
