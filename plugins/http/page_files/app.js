// The page: a list of sessions, one of them open. Only a client of the public API.
//
// One live stream serves everything. An event says that something is new, and what is
// new is read; so a lost stream costs a reading, and never shows a thing twice. What
// other processes do on the same database comes by no live stream, and is looked for.

import { at, call, get, post, save, watch } from "./api.js";
import { $, ago, calmly, count, fill, h, money, plain } from "./dom.js";
import { LogPanel, showContext, showPlugins, showUsage } from "./panels.js";
import { showContinuation, showRequests } from "./requests.js";
import { Transcript } from "./transcript.js";

/** Milliseconds between two looks for what other processes did. */
const BESIDE = 3000;

const state = {
  sessions: [],
  older: null,
  waiting: new Map(),
  open: null,
  tab: "Log",
  models: [],
};

function failed(error) {
  // That there is no connection is said already, for as long as there is none.
  if (error instanceof TypeError && document.body.classList.contains("lost-link")) return;
  fill(
    $("trouble"),
    h(
      "p.failure",
      null,
      error.code ? `${error.message} (${error.code})` : error.message,
      " ",
      h("button.quiet", { type: "button", onclick: () => fill($("trouble")) }, "Dismiss"),
    ),
  );
}

/** Do something that a person asked for; what goes wrong is said. */
async function attempt(work) {
  try {
    fill($("trouble"));
    return await work();
  } catch (error) {
    failed(error);
    return null;
  }
}

// --- the list -----------------------------------------------------------------------

const listed = calmly(
  400,
  async () => {
    const search = $("search").value.trim();
    const query = search ? `&search=${encodeURIComponent(search)}` : "";
    const [answer, waiting] = await Promise.all([
      get(`api/session?limit=50${query}`),
      get("api/request"),
    ]);
    state.sessions = answer.data;
    state.older = answer.cursor?.next ?? null;
    state.waiting = new Map();
    for (const one of waiting.data)
      state.waiting.set(one.session_id, (state.waiting.get(one.session_id) ?? 0) + 1);
    paintList();
  },
  failed,
);

function paintList() {
  const places = new Map();
  for (const one of state.sessions) {
    const directory = one.location.directory;
    places.set(directory, [...(places.get(directory) ?? []), one]);
  }
  const focused = document.activeElement?.dataset?.session;
  fill(
    $("sessions"),
    [...places].map(([directory, sessions]) =>
      h(
        "section",
        null,
        h("h2", { title: directory }, directory.split("/").slice(-2).join("/") || directory),
        h("ul", null, sessions.map(entry)),
      ),
    ),
    state.sessions.length ? null : h("p.quiet", null, "No sessions yet."),
  );
  $("more-sessions").hidden = !state.older;
  if (focused)
    $("sessions")
      .querySelector(`[data-session="${CSS.escape(focused)}"]`)
      ?.focus();
}

/** Whether work was left that somebody has to look at before it goes on. */
function asksToBeAccepted({ status, outcome }) {
  return status === "idle" && outcome?.reason?.code === "continuation.unaccepted";
}

function entry(one) {
  const left = asksToBeAccepted(one.dovetail) || one.dovetail.status === "lost";
  const status = left ? "left: look before it goes on" : one.dovetail.status;
  const waits = state.waiting.get(one.id);
  const cost = money(Number(one.cost ?? 0), one.dovetail.unpriced);
  return h(
    "li",
    null,
    h(
      "a",
      {
        href: `#/${encodeURIComponent(one.id)}`,
        "data-session": one.id,
        "aria-current": state.open?.id === one.id ? "page" : null,
      },
      h("span.title", null, one.title || one.id),
      h(
        "span.quiet",
        null,
        [
          one.parentID ? "subagent" : null,
          `${count(one.tokens.input + one.tokens.output)} tokens`,
          cost,
          ago(one.time.updated),
        ]
          .filter(Boolean)
          .join(" · "),
      ),
      h(
        `span.badge.${left ? "lost" : status === "running" ? "running" : "idle"}`,
        null,
        waits ? `${waits} waiting for you` : status,
      ),
    ),
  );
}

async function moreSessions() {
  const answer = await get(`api/session?limit=50&cursor=${encodeURIComponent(state.older)}`);
  state.sessions.push(...answer.data);
  state.older = answer.cursor?.next ?? null;
  paintList();
}

// --- one session --------------------------------------------------------------------

class OpenSession {
  constructor(id) {
    this.id = id;
    this.closed = false;
    this.info = null;
    // What was read of the log: Steps, and what attempts took that failed before their
    // Step was asked for again.
    this.used = { after: -1, steps: [], lost: [] };
    this.transcript = new Transcript(id, failed);
    this.log = new LogPanel(id, failed);
    this.look = calmly(
      250,
      () => this.#look(),
      (error) => this.closed || failed(error),
    );
  }

  close() {
    this.closed = true;
    this.transcript.closed = true;
    this.log.closed = true;
  }

  async load() {
    await this.#look();
    await Promise.all([this.transcript.load(), this.log.load()]);
    await this.panel();
  }

  /** Read on where another process has worked on it. */
  async beside() {
    const { data } = await get(at`api/session/${this.id}`);
    if (this.closed || JSON.stringify(data) === JSON.stringify(this.info)) return;
    await this.missed();
  }

  /** Read what came while nobody listened. */
  async missed() {
    this.transcript.refresh();
    this.look();
    await this.log.more();
  }

  /** Read what is not in the transcript: state, requests, input that waits, to-dos. */
  async #look() {
    if (this.closed) return;
    const [info, requests, pending, todos] = await Promise.all([
      get(at`api/session/${this.id}`),
      get(`api/request?session=${encodeURIComponent(this.id)}`),
      get(at`api/session/${this.id}/pending`),
      get(at`api/session/${this.id}/todo`),
    ]);
    const left =
      info.data.dovetail.status === "lost" || asksToBeAccepted(info.data.dovetail)
        ? (await get(at`api/session/${this.id}/continuation`)).data
        : null;
    if (this.closed) return;
    this.info = info.data;
    this.#paintHead(todos.data);
    showRequests($("requests"), requests.data, this.id);
    if (requests.data.length) $("requests").scrollIntoView({ block: "nearest" });
    showContinuation($("continuation"), left?.report ?? null, left?.digest, (digest) =>
      attempt(() => post(at`api/session/${this.id}/resume`, { accept: digest })).then(() =>
        this.look(),
      ),
    );
    this.#paintPending(pending.data);
    const waits = requests.data.length ? `(${requests.data.length}) ` : "";
    document.title = `${waits}${plain(this.info.title || this.id)} - dovetail`;
    $("say").hidden = false;
    $("say").querySelector("[name=interrupt]").disabled =
      this.info.dovetail.status !== "running";
  }

  #paintHead(todos) {
    const { dovetail, agent, title } = this.info;
    const name = dovetail.model ?? "";
    const chosen = h("input", {
      name: "model",
      list: "models",
      value: name,
      placeholder: "the configured one",
      autocomplete: "off",
      spellcheck: "false",
      title: "provider/model; one that is not offered here may be served all the same",
      "aria-label": "Model, from the next Step on",
      onchange: () => {
        const typed = chosen.value.trim();
        const wrong = typed && !MODEL.test(typed);
        chosen.setCustomValidity(wrong ? "A model is named provider/model." : "");
        if (!chosen.reportValidity()) return;
        chosen.defaultValue = chosen.value;
        void attempt(() => post(at`api/session/${this.id}/model`, { model: split(typed) }));
      },
    });
    // What somebody types stays; a button that was used keeps the focus.
    const focused = $("head").contains(document.activeElement) ? document.activeElement : null;
    if (focused?.name === "model" && focused.value !== focused.defaultValue) return;
    fill(
      $("head"),
      h("h2", null, title || this.id),
      h(
        "p.quiet",
        null,
        `${dovetail.status}, ${dovetail.steps} ${dovetail.steps === 1 ? "Step" : "Steps"}${agent ? `, agent ${agent}` : ""}, in ${this.info.location.directory}`,
      ),
      dovetail.damage
        ? h("p.failure", null, `damaged: ${JSON.stringify(dovetail.damage)}`)
        : null,
      dovetail.trouble
        ? h("p.failure", null, `${dovetail.trouble.code}: ${dovetail.trouble.message}`)
        : null,
      dovetail.outcome?.reason
        ? h("p.failure", null, `${dovetail.outcome.status}: ${dovetail.outcome.reason.message}`)
        : null,
      h(
        "div.row",
        null,
        h("label", null, "Model ", chosen),
        h(
          "button",
          {
            type: "button",
            onclick: () => attempt(() => post(at`api/session/${this.id}/compact`)),
          },
          "Compact",
        ),
        h(
          "button",
          {
            type: "button",
            onclick: () =>
              attempt(async () => open((await post(at`api/session/${this.id}/fork`)).data.id)),
          },
          "Fork",
        ),
        h(
          "button",
          {
            type: "button",
            onclick: () =>
              attempt(() => save(at`api/session/${this.id}/export`, `${this.id}.jsonl`)),
          },
          "Export",
        ),
        h(
          "button",
          {
            type: "button",
            onclick: () => {
              const named = window.prompt("What is it called?", title ?? "");
              if (named !== null)
                void attempt(() => call("PUT", at`api/session/${this.id}/title`, { title: named }));
            },
          },
          "Rename",
        ),
        h(
          "button.danger",
          {
            type: "button",
            onclick: () => {
              if (window.confirm(`Remove “${plain(title || this.id)}” for good?`))
                void attempt(async () => {
                  await call("DELETE", at`api/session/${this.id}`);
                  gone(this.id);
                });
            },
          },
          "Remove",
        ),
      ),
      todos.length
        ? h(
            "details.todos",
            { open: true },
            h(
              "summary",
              null,
              `To do: ${todos.filter((one) => one.status !== "completed" && one.status !== "cancelled").length} of ${todos.length} left`,
            ),
            h(
              "ul",
              null,
              todos.map((one) =>
                h(
                  `li.${{ completed: "done", in_progress: "now", cancelled: "done" }[one.status] ?? "later"}`,
                  null,
                  h("span.unseen", null, `${one.status}: `),
                  one.content,
                ),
              ),
            ),
          )
        : null,
    );
    if (!focused) return;
    const same = [...$("head").querySelectorAll("button, input, summary")].find(
      (one) => one.textContent === focused.textContent && one.name === focused.name,
    );
    same?.focus();
  }

  #paintPending(pending) {
    const follows = this.transcript.follows();
    const idle = this.info.dovetail.status === "idle";
    fill(
      $("pending"),
      pending.map((one) =>
        h(
          "div.card.pending",
          null,
          h(
            "p",
            null,
            h(
              "strong",
              null,
              one.delivery === "queue" ? "Queued: " : "Waits for the next boundary: ",
            ),
            one.prompt?.text?.slice(0, 300) ?? one.kind ?? "input",
          ),
          h(
            "div.row",
            null,
            h(
              "button",
              {
                type: "button",
                onclick: () =>
                  attempt(() =>
                    call("DELETE", at`api/session/${this.id}/pending/${one.id}`),
                  ).then(() => this.look()),
              },
              "Take back",
            ),
            h(
              "button",
              {
                type: "button",
                onclick: () =>
                  attempt(() =>
                    post(at`api/session/${this.id}/pending/${one.id}/delivery`, {
                      delivery: one.delivery === "queue" ? "steer" : "queue",
                    }),
                  ).then(() => this.look()),
              },
              one.delivery === "queue" ? "Steer with it" : "Queue it",
            ),
          ),
        ),
      ),
      // Nothing starts by itself after somebody interrupted.
      idle && pending.length && $("continuation").hidden
        ? h(
            "button",
            {
              type: "button",
              onclick: () =>
                attempt(() => post(at`api/session/${this.id}/resume`)).then(() => {
                  $("prompt").focus();
                  this.look();
                }),
            },
            "Go on with what waits",
          )
        : null,
    );
    if (follows) this.transcript.down();
  }

  heard(event) {
    if (event.kind === "live.delta") {
      this.transcript.delta(event);
      return;
    }
    if (event.seq === undefined) return;
    this.log.heard(event);
    this.transcript.ended(event);
    this.transcript.refresh();
    this.look();
    if (state.tab !== "Log" && /^(step\.|context\.|agent)/.test(event.kind)) void this.panel();
    const says = {
      "execution.ended": "The work ended.",
      "request.asked": "Something waits for your answer.",
      "execution.started": "Working.",
    }[event.kind];
    if (says) fill($("says"), says);
  }

  async panel() {
    const panel = $("panel");
    if (!this.info) return;
    try {
      if (state.tab === "Log") this.log.show(panel);
      else if (state.tab === "Context") await showContext(panel, this.info, failed);
      else if (state.tab === "Usage") showUsage(panel, await this.#used());
      else await showPlugins(panel, this.info.location.directory);
    } catch (error) {
      fill(panel, h("p.failure", null, error.message));
    }
  }

  /** What each Step used, one reading after the other. */
  #used() {
    const before = this.counting ?? Promise.resolve();
    this.counting = before.catch(() => null).then(() => this.#count());
    return this.counting;
  }

  /** Read on from what was counted: a log of many Steps is long, and read once. */
  async #count() {
    const { used } = this;
    for (;;) {
      const { data, hasMore } = await get(
        `${at`api/session/${this.id}/history`}?limit=1000&kinds=${COUNTED}${used.after < 0 ? "" : `&after=${used.after}`}`,
      );
      for (const { data: event } of data) {
        used.after = event.seq;
        if (event.kind === "step.started") used.lost = [];
        else if (event.kind === "retry.scheduled") used.lost.push(event);
        else if (event.kind === "step.ended" || (event.kind === "step.failed" && event.usage))
          used.steps.push([...used.lost, event].reduce(together));
      }
      if (!hasMore || this.closed) return used.steps;
    }
  }
}

/** Of which kinds the events are that tell what a Step used. */
const COUNTED = "step.started,retry.scheduled,step.ended,step.failed";

/** What two requests of one Step took. */
function together(one, other) {
  const plus = (a, b) => ((a ?? null) === null ? b : (b ?? null) === null ? a : a + b);
  const names = new Set([...Object.keys(one.usage ?? {}), ...Object.keys(other.usage ?? {})]);
  const usage = [...names].map((name) => [name, plus(one.usage?.[name], other.usage?.[name])]);
  return {
    usage: Object.fromEntries(usage),
    cost: plus(one.cost, other.cost),
    unpriced: (one.unpriced ?? 0) + (other.unpriced ?? 0),
  };
}

/** Show that a session is no more. */
function gone(id) {
  listed();
  if (state.open?.id !== id) return;
  state.open.close();
  location.hash = "";
  fill($("says"), "The session was removed.");
}

/** The session that was begun here and is not shown yet. */
let begun = null;

async function open(id) {
  location.hash = `#/${encodeURIComponent(id)}`;
}

async function opened() {
  const id = decodeURIComponent(/^#\/(.+)$/.exec(location.hash)?.[1] ?? "");
  if (state.open?.id === id) return;
  state.open?.close();
  for (const one of ["head", "transcript", "requests", "pending", "panel", "trouble"])
    fill($(one));
  $("continuation").hidden = true;
  $("say").hidden = true;
  $("earlier").hidden = true;
  state.open = id ? new OpenSession(id) : null;
  paintList();
  if (state.open) {
    const mine = state.open;
    document.body.classList.remove("list");
    await attempt(() => mine.load());
    // Whoever began it has something to say.
    if (begun === id) $("prompt").focus();
    begun = null;
  } else {
    document.title = "dovetail";
    fill($("head"), h("p.quiet", null, "Choose a session, or begin one."));
  }
}

// --- what a person does -------------------------------------------------------------

/** What a model is named like. */
const MODEL = /^[^\s/]+\/\S+$/;

function split(name) {
  if (!name) return null;
  const at = name.indexOf("/");
  return { providerID: name.slice(0, at), id: name.slice(at + 1) };
}

/** What was typed as it is said: commands written out, and what is named attached. */
async function made(text, { directory, workspaceID }) {
  const place = new URLSearchParams({ "location[directory]": directory });
  if (workspaceID) place.set("location[workspace]", workspaceID);
  const { data } = await post(`api/prompt?${place}`, { prompt: { text }, files: true });
  const files = data.files.map((one) => ({
    uri: `data:${one.mime};base64,${one.data}`,
    name: one.name,
  }));
  return { text: data.text, files };
}

async function say(delivery) {
  const box = $("prompt");
  const text = box.value;
  if (!text.trim() || !state.open?.info) return;
  const mine = state.open;
  box.value = "";
  // The key makes it one prompt, however often it is sent.
  const key = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
  const done = await attempt(async () => {
    const prompt = await made(text, mine.info.location);
    await post(at`api/session/${mine.id}/prompt`, { prompt, delivery, key });
    return true;
  });
  if (!done && !box.value) box.value = text;
  mine.look();
}

function keys() {
  $("say").addEventListener("submit", (event) => {
    event.preventDefault();
    void say("steer");
  });
  $("say")
    .querySelector("[name=queue]")
    .addEventListener("click", () => say("queue"));
  $("say")
    .querySelector("[name=interrupt]")
    .addEventListener("click", () =>
      attempt(() => post(at`api/session/${state.open.id}/interrupt`)),
    );
  $("prompt").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    void say(event.altKey ? "queue" : "steer");
  });
  $("earlier").addEventListener("click", () => attempt(() => state.open.transcript.earlier()));
  $("more-sessions").addEventListener("click", () => attempt(moreSessions));
  $("search").addEventListener("input", listed);
  $("new").addEventListener("submit", (event) => {
    event.preventDefault();
    void attempt(async () => {
      const form = new FormData($("new"));
      const directory = form.get("directory").trim();
      const made = await post("api/session", {
        location: directory ? { directory } : null,
        model: split(form.get("model").trim()),
      });
      listed();
      begun = made.data.id;
      await open(made.data.id);
    });
  });
  for (const [button, name] of [
    ["show-list", "list"],
    ["show-side", "side"],
  ]) {
    $(button).addEventListener("click", () => {
      const shown = document.body.classList.toggle(name);
      $(button).setAttribute("aria-expanded", String(shown));
    });
  }
  const names = ["Log", "Context", "Usage", "Plugins"];
  const tabs = names.map((name) =>
    h(
      "button",
      {
        type: "button",
        role: "tab",
        id: `tab-${name}`,
        "aria-controls": "panel",
        onclick: () => choose(name),
      },
      name,
    ),
  );
  const choose = (name) => {
    state.tab = name;
    for (const one of tabs) {
      const chosen = one.id === `tab-${name}`;
      one.setAttribute("aria-selected", String(chosen));
      one.tabIndex = chosen ? 0 : -1;
    }
    $("panel").setAttribute("aria-labelledby", `tab-${name}`);
    void state.open?.panel();
  };
  $("tabs").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = names[(names.indexOf(state.tab) + step + names.length) % names.length];
    choose(next);
    $(`tab-${next}`).focus();
  });
  fill($("tabs"), tabs);
  choose("Log");
  window.addEventListener("hashchange", opened);
}

async function start() {
  keys();
  const place = await attempt(() => get("api/location"));
  if (place) $("new").elements.directory.value = place.directory;
  const models = await attempt(() => get("api/model"));
  state.models = (models?.data ?? []).map((one) => `${one.providerID}/${one.id}`);
  fill(
    $("models"),
    state.models.map((one) => h("option", { value: one })),
  );
  listed();
  await opened();
  let before = false;
  void watch("api/event", {
    began() {
      fill($("link"), "live");
      document.body.classList.remove("lost-link");
      // What happened while nobody listened is read.
      if (before) {
        listed();
        void state.open?.missed().catch(failed);
      }
      before = true;
    },
    heard({ type, data }) {
      if (!data?.session_id) return;
      if (type === "session.removed") {
        gone(data.session_id);
        return;
      }
      if (type !== "live.delta") listed();
      if (data.session_id === state.open?.id) state.open.heard(data);
      // What a subagent asks is shown at its parent.
      else if (type === "request.asked" || type === "request.answered") state.open?.look();
    },
    lost(why) {
      fill($("link"), `no connection: ${why}`);
      document.body.classList.add("lost-link");
    },
  });
  setInterval(() => {
    if (document.hidden || document.body.classList.contains("lost-link")) return;
    listed();
    void state.open?.beside().catch(failed);
  }, BESIDE);
}

void start();
