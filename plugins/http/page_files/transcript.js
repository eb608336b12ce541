// The transcript of one session: messages as the server tells them, and what streams in.
//
// What is durable is always read, never guessed: an event only says that something is
// new. Between two readings the deltas of the live feed stand at the end of their
// message, until the whole part is read.

import { at, get } from "./api.js";
import { $, calmly, count, fill, h, long, money, when } from "./dom.js";
import { code, diff, markdown } from "./markdown.js";

const PAGE = 40;
const NEWEST = 8;
const LIVE = 100_000;

export class Transcript {
  constructor(session, failed) {
    this.id = session;
    this.messages = new Map(); // by id: {message, node, shown}
    this.order = []; // ids, the oldest first
    this.live = new Map(); // by message: Map of part to {what, text, ended}
    this.older = null; // the cursor of what is before
    this.shown = $("transcript");
    this.closed = false;
    this.open = new Map(); // which folded parts a person opened, by their key
    this.refresh = calmly(120, () => this.#newest(), failed);
    this.paint = calmly(60, () => this.#paintLive(), failed);
  }

  async load() {
    const answer = await this.#page(PAGE);
    if (this.closed) return;
    this.messages.clear();
    this.order = [];
    this.older = answer.cursor?.next ?? null;
    this.#take([...answer.data].reverse());
    this.shown.replaceChildren(...this.order.map((id) => this.messages.get(id).node));
    this.#edge();
    this.down(true);
  }

  async earlier() {
    if (!this.older) return;
    const before = this.shown.scrollHeight;
    const answer = await this.#page(PAGE, this.older);
    if (this.closed) return;
    this.older = answer.cursor?.next ?? null;
    this.#take([...answer.data].reverse());
    this.#edge();
    const main = $("scroll");
    main.scrollTop += this.shown.scrollHeight - before;
  }

  #page(limit, cursor = null) {
    const query = cursor ? `&cursor=${encodeURIComponent(cursor)}` : "";
    return get(`${at`api/session/${this.id}/message`}?limit=${limit}${query}`);
  }

  /** Read the newest messages, and as many more as are new. */
  async #newest() {
    if (this.closed) return;
    const found = [];
    let cursor = null;
    for (;;) {
      const answer = await this.#page(found.length ? PAGE : NEWEST, cursor);
      if (this.closed) return;
      found.push(...answer.data);
      cursor = answer.cursor?.next ?? null;
      const oldest = answer.data.at(-1);
      if (!cursor || !oldest || this.messages.has(oldest.id) || found.length > 400) break;
    }
    const follows = this.follows();
    if (cursor && !this.messages.has(found.at(-1).id)) {
      // So much is new that there is a gap: begin again from here.
      for (const id of this.order) this.#drop(id);
      this.older = cursor;
    }
    this.#take(found.reverse(), true);
    this.#edge();
    this.#paintLive();
    if (follows) this.down();
  }

  /** Show messages: those that are there already where they changed. */
  #take(found, newest = false) {
    if (!found.length) return;
    const added = found.every((one) => !this.messages.has(one.id));
    for (const message of found) {
      const text = JSON.stringify(message);
      const known = this.messages.get(message.id);
      if (known?.text === text) continue;
      const node = this.#message(message);
      if (known) known.node.replaceWith(node);
      this.messages.set(message.id, { message, node, text });
      this.#ended(message);
    }
    const position = (id) => this.messages.get(id).message.dovetail.seq;
    const [first] = this.order;
    if (added && !newest && first && position(found.at(-1).id) < position(first)) {
      // An earlier page stands before all that is there, however much that is.
      this.shown.prepend(...found.map((one) => this.messages.get(one.id).node));
      this.order = [...found.map((one) => one.id), ...this.order];
      return;
    }
    if (newest) {
      // From the oldest of these on they are all there is: what else is shown was hidden.
      const told = new Set(found.map((one) => one.id));
      for (const id of this.order) {
        if (!told.has(id) && position(id) >= found[0].dovetail.seq) this.#drop(id);
      }
    }
    this.order = [...this.messages.keys()].sort((one, two) => position(one) - position(two));
    let before = null;
    for (const id of this.order) {
      const { node } = this.messages.get(id);
      if (node.previousSibling !== before || node.parentNode !== this.shown) {
        if (before) before.after(node);
        else this.shown.prepend(node);
      }
      before = node;
    }
  }

  #drop(id) {
    this.messages.get(id)?.node.remove();
    this.messages.delete(id);
    this.live.delete(id);
  }

  #edge() {
    $("earlier").hidden = !this.older;
  }

  follows() {
    const main = $("scroll");
    return main.scrollHeight - main.scrollTop - main.clientHeight < 160;
  }

  down(always = false) {
    const main = $("scroll");
    if (always || this.follows()) main.scrollTop = main.scrollHeight;
  }

  // --- what streams in ----------------------------------------------------------------

  delta({ message_id, what, part, text }) {
    const parts = this.live.get(message_id) ?? new Map();
    this.live.set(message_id, parts);
    const key = `${what}:${part}`;
    const known = parts.get(key) ?? { what, part, text: "" };
    // Progress replaces what was said before; words follow each other.
    known.text = what === "progress" ? text : (known.text + text).slice(-LIVE);
    parts.set(key, known);
    this.paint();
  }

  /** Forget deltas of parts that are durable now, with those of whole messages. */
  ended(event) {
    const parts = this.live.get(event.message_id);
    if (!parts) return;
    const of = { "text.ended": "text", "reasoning.ended": "reasoning" }[event.kind];
    for (const [key, one] of parts) if (one.what === of) one.over = true;
  }

  #ended(message) {
    const parts = this.live.get(message.id);
    if (!parts) return;
    const settled = new Set(
      message.dovetail.parts
        ?.filter((one) => !["called", "started"].includes(one.state))
        .map((one) => one.call_id),
    );
    for (const [key, one] of parts) {
      if (
        one.over ||
        message.dovetail.ended ||
        (one.what === "progress" && settled.has(one.part))
      )
        parts.delete(key);
    }
    if (!parts.size) this.live.delete(message.id);
  }

  #paintLive() {
    if (this.closed) return;
    const follows = this.follows();
    for (const node of this.shown.querySelectorAll(".live")) {
      if (!this.live.has(node.dataset.message)) node.remove();
    }
    for (const [id, parts] of this.live) {
      let node = this.shown.querySelector(`.live[data-message="${CSS.escape(id)}"]`);
      if (!node) node = h("div.live", { "data-message": id });
      const home = this.messages.get(id)?.node;
      if (home) home.append(node);
      else if (node.parentNode !== this.shown) this.shown.append(node);
      fill(
        node,
        [...parts.values()].map((one) => {
          if (one.what === "text") return h("div.text", null, markdown(one.text));
          if (one.what === "reasoning") return h("p.reasoning.now", null, one.text.slice(-400));
          if (one.what === "progress") return h("p.progress", null, one.text.slice(-400));
          return h("p.progress", null, `${count(one.text.length)} characters of a call`);
        }),
      );
    }
    if (follows) this.down();
  }

  // --- messages -----------------------------------------------------------------------

  #message(message) {
    const own = message.dovetail;
    const head = (who, ...more) =>
      h("header", null, h("strong", null, who), more, when(own.created));
    switch (message.type) {
      case "user":
        return h(
          "article.message.user",
          { "aria-label": "You" },
          head("You"),
          h("div.text", null, long(own.text, { tag: "p" })),
          own.files?.map((file) => h("p.file", null, `attached: ${file.name} (${file.mime})`)),
        );
      case "assistant":
        return this.#assistant(message, own, head);
      case "compaction":
        return h(
          "article.message.summary",
          { "aria-label": "Summary" },
          head("Summary of what came before"),
          h("details", null, h("summary", null, "Show"), markdown(own.text)),
        );
      default:
        return h(
          "article.message.notice",
          { "aria-label": "Told to the model" },
          head("Told to the model"),
          h(
            "details",
            null,
            h("summary", null, own.text.split("\n")[0].slice(0, 120)),
            long(own.text),
          ),
        );
    }
  }

  #assistant(message, own, head) {
    const used = own.usage
      ? `${count(own.usage.input)} in, ${count(own.usage.output)} out`
      : null;
    const cost = money(Number(own.cost ?? 0));
    return h(
      "article.message.assistant",
      { "aria-label": own.agent ?? "Model" },
      head(own.agent ?? "Model", h("span.quiet", null, own.model)),
      own.parts.map((part, number) => this.#part(own, part, number)),
      own.failure
        ? h("p.failure", { role: "alert" }, `${own.failure.code}: ${own.failure.message}`)
        : null,
      used ? h("footer.quiet", null, [used, cost].filter(Boolean).join(", ")) : null,
    );
  }

  #folded(key, summary, body, open = false) {
    const node = h(
      "details",
      { open: this.open.get(key) ?? open },
      h("summary", null, summary),
    );
    let made = false;
    const make = () => {
      if (node.open && !made) {
        made = true;
        node.append(...[body()].flat());
      }
    };
    node.addEventListener("toggle", () => {
      this.open.set(key, node.open);
      make();
    });
    make();
    return node;
  }

  #part(own, part, number) {
    const key = `${own.id}:${number}`;
    switch (part.type) {
      case "text":
        return h("div.text", null, markdown(part.text));
      case "reasoning":
        return part.text
          ? h(
              "div.reasoning",
              null,
              this.#folded(key, "Reasoning", () => long(part.text, { tag: "p" })),
            )
          : null;
      case "tool":
        return this.#call(own, part, key);
      default:
        return h("p.quiet", null, `a part of kind ${part.type}`);
    }
  }

  #call(own, part, key) {
    const given = parsed(part.arguments);
    const state = part.failure ? "failed" : part.state;
    return h(
      `div.call.${["succeeded", "failed", "started", "called"].includes(state) ? state : "other"}`,
      null,
      this.#folded(
        key,
        [
          h("span.tool", null, part.tool),
          " ",
          h("span.gist", null, gist(given, part.arguments)),
          " ",
          h("span.state", null, STATES[state] ?? state),
        ],
        () =>
          [
            shownArguments(part.tool, given, part.arguments),
            part.failure
              ? h("p.failure", null, `${part.failure.code}: ${part.failure.message}`)
              : null,
            part.content.map((one) => shownContent(one)),
            this.#output(own, part),
          ]
            .flat(2)
            .filter(Boolean),
      ),
    );
  }

  /** The complete output of a call whose result was cut, by pages. */
  #output(own, part) {
    if (!part.managed && !part.output) return null;
    const box = h("div");
    let offset = 0;
    const more = h(
      "button.quiet",
      {
        type: "button",
        onclick: async () => {
          more.disabled = true;
          try {
            const { data } = await get(
              `${at`api/session/${this.id}/message/${own.id}/output`}?call=${encodeURIComponent(part.call_id)}&offset=${offset}`,
            );
            box.append(h("pre", { tabindex: "0" }, data.text));
            offset = data.next;
            if (offset === null || offset === undefined) more.remove();
            else
              fill(
                more,
                `More of the complete output: ${count(data.total - offset)} characters`,
              );
          } catch (error) {
            box.append(h("p.failure", null, error.message));
          }
          more.disabled = false;
        },
      },
      "Show the complete output",
    );
    return h("div", null, box, more);
  }
}

const STATES = { called: "waits", started: "runs", succeeded: "done", failed: "failed" };

function parsed(text) {
  try {
    const value = JSON.parse(text);
    return value && typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}

/** Return what a call is about, in a few words. */
function gist(given, text) {
  if (!given) return text.slice(0, 100);
  const first = ["command", "path", "pattern", "url", "query", "description", "name", "task"]
    .map((name) => given[name])
    .find((one) => typeof one === "string");
  return (first ?? Object.keys(given).join(", ")).split("\n")[0].slice(0, 120);
}

/** Return the arguments of a call as a person reads them. */
export function shownArguments(tool, given, text) {
  if (!given) return long(text);
  if (typeof given.command === "string") return code(given.command, "sh");
  if (typeof given.patch === "string") return diff(given.patch);
  if (typeof given.old_string === "string" && typeof given.new_string === "string")
    return edited(given.path, given.old_string, given.new_string);
  if (typeof given.content === "string" && typeof given.path === "string")
    return diff(`+++ ${given.path}\n${given.content.replace(/^/gm, "+")}`);
  return code(JSON.stringify(given, null, 2), "json");
}

function edited(path, before, after) {
  return diff(`@@ ${path}\n${before.replace(/^/gm, "-")}\n${after.replace(/^/gm, "+")}`);
}

function shownContent(one) {
  if (typeof one.text === "string")
    return /^(--- |diff --git )/m.test(one.text.slice(0, 2000))
      ? diff(one.text)
      : long(one.text);
  if (
    /^image\/(png|jpeg|gif|webp)$/.test(one.mime ?? "") &&
    /^[A-Za-z0-9+/=]*$/.test(one.data ?? "-")
  ) {
    return h("img", {
      src: `data:${one.mime};base64,${one.data}`,
      alt: one.name ?? "an image of a result",
    });
  }
  return h("p.file", null, `a file: ${one.name ?? ""} ${one.mime ?? ""}`);
}
