// The panels beside a session: its log, its context, what it used, and the plugins.

import { at, get, post } from "./api.js";
import { count, fill, h, long, money } from "./dom.js";
import { code } from "./markdown.js";

const AT_ONCE = 200;

/** The raw events, whole and in order, with a filter and the state of the hash chain. */
export class LogPanel {
  constructor(session, failed) {
    this.id = session;
    this.failed = failed;
    this.events = []; // in order and without a gap, from `first` on
    this.filter = "";
    this.rows = h("ol.events");
    this.closed = false;
    this.reading = null;
    this.from = -1;
  }

  /** Read what is there from a position on. */
  async load(after = -1) {
    this.events = [];
    this.from = after;
    this.rows.replaceChildren();
    await this.more();
  }

  /** Read what comes after what is known, once however many ask. */
  more() {
    this.reading ??= this.#read().finally(() => (this.reading = null));
    return this.reading;
  }

  get last() {
    return this.events.at(-1)?.seq ?? this.from;
  }

  async #read() {
    const { data, hasMore } = await get(
      `${at`api/session/${this.id}/history`}?limit=${AT_ONCE}${this.last < 0 ? "" : `&after=${this.last}`}`,
    );
    if (this.closed) return;
    for (const one of data) this.#add(one.data);
    this.further = hasMore;
    this.#edge();
  }

  /** Take an event of the live feed: only where it follows what is known. */
  heard(event) {
    if (this.further) return;
    if (event.seq === this.last + 1) this.#add(event);
    else if (event.seq > this.last) this.more().catch(this.failed);
  }

  #add(event) {
    if (event.seq <= this.last) return;
    this.events.push(event);
    this.rows.append(this.#row(event));
  }

  #row(event) {
    const node = h(
      "li",
      { "data-kind": event.kind, hidden: !this.#fits(event.kind) },
      h(
        "details",
        null,
        h("summary", null, h("span.seq", null, String(event.seq)), " ", event.kind),
      ),
    );
    const details = node.firstChild;
    details.addEventListener("toggle", () => {
      if (details.open && details.children.length === 1)
        details.append(long(JSON.stringify(event, null, 2)));
    });
    return node;
  }

  #fits(kind) {
    return kind.includes(this.filter);
  }

  #edge() {
    if (this.next) this.next.hidden = !this.further;
  }

  show(panel) {
    const verified = h("p", { role: "status" });
    this.next = h(
      "button",
      { type: "button", hidden: !this.further, onclick: () => this.more().catch(this.failed) },
      "Later events",
    );
    const filter = h("input", {
      type: "search",
      value: this.filter,
      oninput: () => {
        this.filter = filter.value.trim();
        for (const row of this.rows.children) row.hidden = !this.#fits(row.dataset.kind);
      },
    });
    const position = h("input", { type: "number", min: 0, step: 1 });
    fill(
      panel,
      h(
        "div.row",
        null,
        h("label", null, "Kind ", filter),
        h(
          "form",
          {
            onsubmit: (event) => (
              event.preventDefault(),
              this.load(Number(position.value) - 1).catch(this.failed)
            ),
          },
          h("label", null, "From event ", position),
          h("button", null, "Jump"),
        ),
      ),
      h(
        "div.row",
        null,
        h(
          "button",
          {
            type: "button",
            onclick: async () => {
              fill(verified, "looking at every event");
              try {
                const { data } = await get(at`api/session/${this.id}/verify`);
                fill(
                  verified,
                  data.first_bad === null
                    ? `${data.events} events, the chain is whole: ${data.hash?.slice(0, 16)}…`
                    : `broken at event ${data.first_bad}: ${data.problem}`,
                );
                verified.className = data.first_bad === null ? "good" : "failure";
              } catch (error) {
                fill(verified, error.message);
              }
            },
          },
          "Verify the hash chain",
        ),
        verified,
      ),
      this.rows,
      this.next,
    );
  }
}

/** What the model is told of its world. */
export async function showContext(panel, session, failed) {
  const [{ data: epochs }, { data: agents }] = await Promise.all([
    get(at`api/session/${session.id}/told`),
    get(`api/agent?directory=${encodeURIComponent(session.location.directory)}`),
  ]);
  const choice = h(
    "select",
    {
      onchange: () =>
        post(at`api/session/${session.id}/agent`, { agent: choice.value || null }).catch(
          failed,
        ),
    },
    h("option", { value: "" }, "the configured one"),
    agents.map((one) =>
      h("option", { value: one.id, selected: one.id === session.agent }, one.id),
    ),
  );
  fill(
    panel,
    h("label", null, "Agent, from the next Step on ", choice),
    [...epochs].reverse().map((one, number) =>
      h(
        "details",
        { open: number === 0 },
        h(
          "summary",
          null,
          `Epoch from event ${one.seq}: ${one.cause}, ${one.steps.length} Steps`,
        ),
        one.instructions
          ? [h("h3", null, "Instructions of the agent"), long(one.instructions)]
          : null,
        h("h3", null, "Baseline"),
        long(one.baseline),
        one.updates.map((update) => [
          h("h3", null, "Update"),
          long(update.text ?? JSON.stringify(update, null, 2)),
        ]),
        Object.keys(one.left_out ?? {}).length
          ? [h("h3", null, "Left out"), code(JSON.stringify(one.left_out, null, 2), "json")]
          : null,
      ),
    ),
    epochs.length ? null : h("p.quiet", null, "Nothing was told yet: the first Step does."),
  );
}

/** What each Step used, as bars and as numbers. */
export function showUsage(panel, steps) {
  const shown = steps.slice(-120);
  const most = Math.max(
    1,
    ...shown.map((one) => (one.usage.input ?? 0) + (one.usage.output ?? 0)),
  );
  const svg = (tag, properties, ...children) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(properties)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  };
  const width = 100 / Math.max(shown.length, 20);
  const bars = shown.flatMap((one, number) => {
    const input = ((one.usage.input ?? 0) / most) * 60;
    const cached = ((one.usage.cache_read ?? 0) / most) * 60;
    const output = ((one.usage.output ?? 0) / most) * 60;
    const bar = (className, y, height) =>
      svg("rect", {
        class: className,
        x: number * width,
        y,
        width: width * 0.8,
        height: Math.max(0, height),
      });
    return [
      bar("bar-input", 60 - input, input),
      bar("bar-cached", 60 - cached, cached),
      bar("bar-output", 60 - input - output, output),
    ];
  });
  const sum = (name) => steps.reduce((total, one) => total + (one.usage[name] ?? 0), 0);
  const cost = steps.reduce((total, one) => total + Number(one.cost ?? 0), 0);
  const unpriced = steps.reduce((total, one) => total + (one.unpriced ?? 0), 0);
  fill(
    panel,
    h(
      "p",
      null,
      `${steps.length} Steps, ${count(sum("input"))} tokens in (${count(sum("cache_read"))} of them from the cache), ${count(sum("output"))} out`,
      cost ? `, ${money(cost, unpriced)}` : ", cost unknown",
    ),
    svg(
      "svg",
      {
        viewBox: "0 0 100 60",
        preserveAspectRatio: "none",
        class: "chart",
        role: "img",
        "aria-label": "Tokens by Step",
      },
      ...bars,
    ),
    h("p.quiet", null, "Tokens by Step: in, from the cache, out."),
    h(
      "div.wide",
      { tabindex: "0" },
      h(
        "table",
        null,
        h(
          "thead",
          null,
          h(
            "tr",
            null,
            ["Step", "in", "cached", "out", "cost"].map((one) =>
              h("th", { scope: "col" }, one),
            ),
          ),
        ),
        h(
          "tbody",
          null,
          [...steps.entries()]
            .slice(-120)
            .reverse()
            .map(([number, one]) =>
              h(
                "tr",
                null,
                [
                  number + 1,
                  count(one.usage.input),
                  count(one.usage.cache_read),
                  count(one.usage.output),
                  one.cost === null || one.cost === undefined ? "?" : money(Number(one.cost), one.unpriced),
                ].map((cell) => h("td", null, String(cell))),
              ),
            ),
        ),
      ),
    ),
  );
}

/** The plugins of a Location and how they are. */
export async function showPlugins(panel, directory) {
  const { data } = await get(`api/plugin?directory=${encodeURIComponent(directory)}`);
  fill(
    panel,
    h(
      "ul.plugins",
      null,
      data.map((one) =>
        h(
          "li",
          { class: one.state === "open" && !one.errors ? "good" : "failure" },
          h(
            "details",
            null,
            h(
              "summary",
              null,
              h("strong", null, one.name),
              ` ${one.version ?? ""} ${one.state}`,
              one.errors ? `, ${one.errors} errors` : "",
            ),
            one.error ? h("p.failure", null, one.error) : null,
            code(JSON.stringify(one, null, 2), "json"),
          ),
        ),
      ),
    ),
  );
}
