// Nodes: how elements are made. What comes from elsewhere only ever becomes text.

// Characters that move what is seen beside others, or are not seen: shown by number.
const HIDDEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|\udb40[\udc00-\udc7f]/g;

/** Return text in which nothing is hidden and nothing turns the order around. */
export function plain(text) {
  return String(text)
    .replace(/\r\n/g, "\n")
    .replace(HIDDEN, (one) => {
      // Joined emoji and scripts that need a joiner are written as they are.
      if (one === "\u200d" || one === "\u200c") return one;
      return `\u27e8${one.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}\u27e9`;
    });
}

/** Return an element. Properties that begin with `on` listen; null ones are left out. */
export function h(tag, properties, ...children) {
  const [name, ...classes] = tag.split(".");
  const node = document.createElement(name || "div");
  if (classes.length) node.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : plain(value));
  }
  add(node, children);
  return node;
}

/** Append texts and nodes. */
export function add(node, children) {
  for (const child of [children].flat(9)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : plain(child));
  }
}

/** Replace what is in a node. */
export function fill(node, ...children) {
  node.replaceChildren();
  add(node, children);
  return node;
}

export const $ = (id) => document.getElementById(id);

const AT_ONCE = 20_000;

/** Return a block of text of any length, of which so much is shown at once. */
export function long(text, { tag = "pre", most = AT_ONCE } = {}) {
  if (text.length <= most) return h(tag, null, text);
  const shown = h(tag, null, text.slice(0, most));
  let end = most;
  const more = h("button.quiet", {
    type: "button",
    onclick() {
      shown.append(plain(text.slice(end, end + most * 5)));
      end += most * 5;
      label();
    },
  });
  const label = () => {
    const left = Math.max(0, text.length - end);
    if (left) fill(more, `Show more: ${left.toLocaleString()} characters`);
    else more.remove();
  };
  label();
  return h("div", null, shown, more);
}

/**
 * Return a function that does something at most once in so many milliseconds, and once
 * more after the last time that it was asked. What goes wrong is given to `failed`.
 */
export function calmly(milliseconds, work, failed) {
  let timer = null;
  let again = false;
  const run = async () => {
    again = false;
    try {
      await work();
    } catch (error) {
      failed(error);
    } finally {
      timer = setTimeout(() => {
        timer = null;
        if (again) start();
      }, milliseconds);
    }
  };
  const start = () => {
    timer = true;
    void run();
  };
  return () => {
    if (timer === null) start();
    else again = true;
  };
}

export function when(milliseconds) {
  const date = new Date(milliseconds);
  return h(
    "time",
    { datetime: date.toISOString(), title: date.toLocaleString() },
    ago(milliseconds),
  );
}

export function ago(milliseconds) {
  const seconds = Math.round((Date.now() - milliseconds) / 1000);
  if (seconds < 60) return "now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

export function count(number) {
  if (number === null || number === undefined) return "?";
  if (number < 10_000) return number.toLocaleString();
  if (number < 1e6) return `${(number / 1000).toFixed(1)}k`;
  return `${(number / 1e6).toFixed(2)}M`;
}

/** US dollars; `unpriced` is how many requests they leave out, or a part of. */
export function money(amount, unpriced = 0) {
  if (!amount) return "";
  const least = unpriced ? "at least " : "";
  return `${least}$${amount < 0.01 ? amount.toFixed(4) : amount.toFixed(2)}`;
}
