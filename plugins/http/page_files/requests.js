// What waits for a person: cards that say what will be done, and answer.

import { $, fill, h, long, when } from "./dom.js";
import { at, post } from "./api.js";
import { code } from "./markdown.js";

/** Show requests; those that are shown already stay as a person filled them in. */
export function showRequests(box, requests, own) {
  const known = new Map([...box.children].map((node) => [node.dataset.request, node]));
  const wanted = requests.map((one) => known.get(one.id) ?? card(one, own));
  if (
    wanted.length === box.children.length &&
    wanted.every((one, number) => one === box.children[number])
  )
    return;
  box.replaceChildren(...wanted);
}

function card(request, own) {
  const body = { permission, question }[request.what] ?? unknown;
  const failed = h("p.failure", { role: "alert" });
  const answer = async (path, given) => {
    const buttons = node.querySelectorAll("button, input, textarea");
    for (const one of buttons) one.disabled = true;
    try {
      // What is answered is what is shown here, and nothing that it became since.
      await post(path, { ...given, shown: request.shown });
      node.remove();
      // What had the focus is gone with it.
      $("prompt").focus();
    } catch (error) {
      fill(failed, error.message);
      for (const one of buttons) one.disabled = false;
    }
  };
  const node = h(
    "section.card",
    { "data-request": request.id, "aria-label": `${request.what} request` },
    h(
      "header",
      null,
      h(
        "strong",
        null,
        { permission: "May it do this?", question: "A question for you" }[request.what] ??
          request.what,
      ),
      request.session_id === own
        ? null
        : h("span.quiet", null, `asked by session ${request.session_id}`),
      request.agent ? h("span.quiet", null, `agent ${request.agent}`) : null,
      when(request.created),
    ),
    body(request, answer),
    failed,
  );
  return node;
}

function permission(request, answer) {
  const { action, resources, save, metadata, tool, folder } = request.body;
  const reply = (word, message = null) =>
    answer(at`api/session/${request.session_id}/permission/${request.id}/reply`, {
      reply: word,
      message,
    });
  const why = h("input", {
    type: "text",
    "aria-label": "Say to the model why not, if you like",
    placeholder: "why not, for the model",
  });
  return [
    h(
      "p",
      null,
      h("strong", null, action),
      tool && tool !== action ? ` by the tool ${tool}` : null,
      h(
        "span.quiet",
        null,
        ` in ${request.directory}${folder && folder !== "." ? `/${folder}` : ""}`,
      ),
    ),
    resources.map((one) =>
      action === "bash" ? code(one, "sh") : h("pre", { tabindex: "0" }, one),
    ),
    Object.entries(metadata ?? {}).map(([key, value]) =>
      h(
        "details",
        { open: key === "diff" || key === "patch" },
        h("summary", null, key),
        typeof value === "string"
          ? code(value, key === "diff" || key === "patch" ? "diff" : "")
          : code(JSON.stringify(value, null, 2), "json"),
      ),
    ),
    request.body.again?.length
      ? h(
          "p.quiet",
          null,
          `was allowed before, and asks again: ${request.body.again.map((one) => one.why ?? JSON.stringify(one)).join("; ")}`,
        )
      : null,
    h(
      "div.row",
      null,
      h("button", { type: "button", onclick: () => reply("once") }, "Allow once"),
      save.length
        ? h(
            "button",
            { type: "button", onclick: () => reply("always") },
            "Always allow: ",
            save.map((one) => h("code", null, one.length > 80 ? `${one.slice(0, 80)}…` : one)),
          )
        : null,
      h(
        "button.danger",
        { type: "button", onclick: () => reply("reject", why.value.trim() || null) },
        "Reject",
      ),
      why,
    ),
  ];
}

function question(request, answer) {
  const fields = request.body.questions.map((one, number) => {
    const name = `${request.id}:${number}`;
    const type = one.multiple ? "checkbox" : "radio";
    const own =
      one.free === false
        ? null
        : h("input", {
            type: "text",
            "aria-label": "In your own words",
            placeholder: "in your own words",
          });
    const set = h(
      "fieldset",
      null,
      h("legend", null, one.text),
      one.options.map((option) =>
        h(
          "label.option",
          null,
          h("input", { type, name, value: option.label }),
          h(
            "span",
            null,
            option.label,
            option.description ? h("span.quiet", null, ` ${option.description}`) : null,
          ),
        ),
      ),
      own,
    );
    return { set, own };
  });
  const said = () =>
    fields.map(({ set, own }) => {
      const chosen = [...set.querySelectorAll("input:checked")].map((one) => one.value);
      const words = own?.value.trim();
      return words ? [...chosen, words] : chosen;
    });
  const path = at`api/session/${request.session_id}/question/${request.id}`;
  return [
    fields.map((one) => one.set),
    h(
      "div.row",
      null,
      h(
        "button",
        { type: "button", onclick: () => answer(`${path}/reply`, { answers: said() }) },
        "Answer",
      ),
      h(
        "button.danger",
        { type: "button", onclick: () => answer(`${path}/reject`, {}) },
        "Dismiss",
      ),
    ),
  ];
}

function unknown(request, answer) {
  const words = h("textarea", { rows: 3, "aria-label": "The answer, as JSON" });
  const node = h(
    "div",
    null,
    long(JSON.stringify(request.body, null, 2)),
    words,
    h("button", { type: "button", onclick: send }, "Answer"),
  );
  function send() {
    try {
      answer(at`api/request/${request.id}/reply`, {
        answer: JSON.parse(words.value),
        session_id: request.session_id,
      });
      words.setCustomValidity("");
    } catch (error) {
      words.setCustomValidity(error.message);
      words.reportValidity();
    }
  }
  return node;
}

const KNOWN = {
  run: "will be run again",
  check: "will be checked first",
  settle: "will be told to the model as interrupted",
};

/** Show the Continuation Report with what accepts it, or nothing. */
export function showContinuation(box, report, digest, accept) {
  box.hidden = !report;
  if (!report) return;
  fill(
    box,
    h("h2", null, "The work was left. Look before it goes on"),
    h("p", null, `Everything up to event ${report.trusted_seq} is trusted.`),
    report.calls.length
      ? h("p", null, "Calls that have no result:")
      : h("p", null, "No call is without its result."),
    h(
      "ul",
      null,
      report.calls.map((one) =>
        h(
          "li",
          null,
          h("strong", null, one.tool),
          ` ${one.known === "not_started" ? "had not begun" : "may have been done"}; ${KNOWN[one.action] ?? one.action}`,
          ...[
            ["done", one.done],
            ["perhaps done", one.doing],
          ].map(([word, things]) =>
            things.length ? h("p.quiet", null, `${word}: ${things.join(", ")}`) : null,
          ),
        ),
      ),
    ),
    report.moved.length ? h("p", null, "Not as it was:") : null,
    h(
      "ul",
      null,
      report.moved.map((one) => h("li", null, one.what, h("span.quiet", null, ` ${one.code}`))),
    ),
    ...["pending", "jobs", "children"].map((name) =>
      report[name].length ? h("p.quiet", null, `${name}: ${report[name].length}`) : null,
    ),
    h(
      "div.row",
      null,
      h("button", { type: "button", onclick: () => accept(digest) }, "I looked: continue"),
    ),
  );
}
