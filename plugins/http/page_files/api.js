// The API: requests and streams. Owns how a lost stream is taken up again.

// A server may be mounted below a path; the page then is, too.
const ROOT = new URL(".", document.baseURI);

/** An answer that says what was wrong. */
export class Refused extends Error {
  constructor(status, body) {
    super(body?.message ?? body?.data?.message ?? `the server answered ${status}`);
    this.status = status;
    this.code = body?.code ?? body?.data?.code ?? "";
    this.body = body;
  }
}

// Where a token is set, the browser asked for it as a password, and shows it by itself.
function fetched(path, options) {
  return fetch(new URL(path, ROOT), {
    ...options,
    credentials: "same-origin",
    cache: "no-store",
    redirect: "error",
  });
}

/** Ask for something, and return the answer. Throws `Refused`. */
export async function call(method, path, body) {
  const answer = await fetched(path, {
    method,
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  let data = null;
  try {
    data = text ? JSON.parse(text) : null;
  } catch {
    // Whatever stands between: the status tells.
  }
  if (!answer.ok) throw new Refused(answer.status, data);
  return data;
}

export const get = (path) => call("GET", path);
export const post = (path, body = {}) => call("POST", path, body);

/** Hand an answer to a person as a file; an error is shown and not saved. */
export async function save(path, name) {
  const answer = await fetched(path, { method: "GET" });
  if (!answer.ok) throw new Refused(answer.status, await answer.json().catch(() => null));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Return a path in which every name is one part, whatever is in it. */
export function at(parts, ...names) {
  return parts.reduce(
    (made, part, index) => made + encodeURIComponent(names[index - 1]) + part,
  );
}

async function* frames(answer, quiet) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let data = [];
  let event = "message";
  try {
    for (;;) {
      const { done, value } = await quiet(reader.read());
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines.map((one) => one.replace(/\r$/, ""))) {
        if (line === "") {
          if (data.length) yield { event, data: data.join("\n") };
          data = [];
          event = "message";
        } else if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
        else if (line.startsWith("event:")) event = line.slice(6).trim();
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

const SILENCE = 60_000;

/** Wait for something, but for no server that says nothing for so long. */
function bounded(promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("the server is silent")), SILENCE);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/**
 * Watch a stream for as long as the page lives.
 *
 * `began` is called whenever it begins, also anew: what was missed must be read. `heard`
 * gets every event, `lost` hears why there is none just now.
 */
export async function watch(path, { began, heard, lost }) {
  let pause = 250;
  for (;;) {
    try {
      const answer = await fetched(path, { method: "GET" });
      if (!answer.ok) throw new Refused(answer.status, null);
      pause = 250;
      began();
      for await (const { event, data } of frames(answer, bounded)) {
        if (event === "end") break;
        heard(JSON.parse(data));
      }
      lost("the stream ended");
    } catch (error) {
      lost(error.message);
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(pause * 2, 5000);
  }
}
