// Markdown: text as nodes. Owns what of it is shown: headings, lists, tables, quotes,
// code, emphasis and links. It makes elements and texts, never HTML from a text, so that
// nothing of it can run. Every line is looked at once, however it was meant.

import { h, long } from "./dom.js";

const MOST = 200_000;
const MARKED = 2_000;
const DEEP = 6;

/** Return nodes for a text. */
export function markdown(text) {
  if (text.length > MOST) return [long(text)];
  return blocks(text.split("\n"), 0);
}

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const ITEM = /^( {0,8})([-*+]|\d{1,9}[.)])(\s+|$)(.*)$/;
const DELIMITER = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;

function blocks(lines, depth) {
  const made = [];
  let index = 0;
  let words = [];
  const flush = () => {
    if (words.length) made.push(h("p", null, inline(words.join("\n"))));
    words = [];
  };
  while (index < lines.length) {
    const line = lines[index];
    // A mark is short; in a line of a million spaces there is nothing to look for.
    const mark = line.length < MARKED ? line : "";
    const fence = FENCE.exec(mark);
    if (fence) {
      flush();
      let end = index + 1;
      const close = new RegExp(`^ {0,3}${fence[1][0]}{${fence[1].length},}\\s*$`);
      while (end < lines.length && !close.test(lines[end])) end += 1;
      made.push(code(lines.slice(index + 1, end).join("\n"), fence[2].trim().split(/\s/)[0]));
      index = end + 1;
      continue;
    }
    const heading = HEADING.exec(mark);
    if (heading) {
      flush();
      // The page has the first two levels for itself.
      made.push(h(`h${Math.min(heading[1].length + 2, 6)}`, null, inline(heading[2])));
      index += 1;
      continue;
    }
    if (RULE.test(mark)) {
      flush();
      made.push(h("hr"));
      index += 1;
      continue;
    }
    if (/^ {0,3}>/.test(line) && depth < DEEP) {
      flush();
      const inner = [];
      while (index < lines.length && /^ {0,3}>/.test(lines[index])) {
        inner.push(lines[index].replace(/^ {0,3}> ?/, ""));
        index += 1;
      }
      made.push(h("blockquote", null, blocks(inner, depth + 1)));
      continue;
    }
    if (ITEM.test(line) && depth < DEEP) {
      flush();
      const [list, next] = listed(lines, index, depth);
      made.push(list);
      index = next;
      continue;
    }
    if (
      line.includes("|") &&
      lines[index + 1]?.length < MARKED &&
      DELIMITER.test(lines[index + 1])
    ) {
      flush();
      const [table, next] = tabled(lines, index);
      made.push(table);
      index = next;
      continue;
    }
    if (line.trim() === "") flush();
    else words.push(line);
    index += 1;
  }
  flush();
  return made;
}

function listed(lines, start, depth) {
  const first = ITEM.exec(lines[start]);
  const ordered = /\d/.test(first[2]);
  const items = [];
  let index = start;
  while (index < lines.length) {
    const item = ITEM.exec(lines[index]);
    if (!item || item[1].length > first[1].length + 1 || /\d/.test(item[2]) !== ordered) break;
    const indent = item[1].length + item[2].length + 1;
    const inner = [item[4]];
    index += 1;
    while (index < lines.length) {
      const line = lines[index];
      const deeper = line.search(/\S/);
      const blank = line.trim() === "";
      const goes = blank
        ? lines[index + 1]?.search(/\S/) >= Math.min(indent, 2)
        : deeper >= Math.min(indent, 2);
      const other = !blank && ITEM.exec(line);
      if (!goes || (other && other[1].length <= item[1].length)) break;
      inner.push(line.slice(Math.min(indent, Math.max(deeper, 0))));
      index += 1;
    }
    items.push(h("li", null, tight(blocks(inner, depth + 1))));
  }
  return [
    h(ordered ? "ol" : "ul", ordered ? { start: parseInt(first[2], 10) } : null, items),
    index,
  ];
}

// A paragraph alone in an item is no paragraph.
function tight(nodes) {
  if (nodes[0]?.tagName === "P") return [...nodes[0].childNodes, ...nodes.slice(1)];
  return nodes;
}

function cells(line) {
  return line.trim().replace(/^\|/, "").replace(/\|$/, "").split("|").slice(0, 50);
}

function tabled(lines, start) {
  const rows = [];
  let index = start + 2;
  while (index < lines.length && lines[index].includes("|")) {
    rows.push(
      h(
        "tr",
        null,
        cells(lines[index]).map((cell) => h("td", null, inline(cell.trim()))),
      ),
    );
    index += 1;
  }
  const head = h(
    "tr",
    null,
    cells(lines[start]).map((cell) => h("th", { scope: "col" }, inline(cell.trim()))),
  );
  return [
    h(
      "div.wide",
      { tabindex: "0" },
      h("table", null, h("thead", null, head), h("tbody", null, rows)),
    ),
    index,
  ];
}

const INLINE =
  /(`{1,9})([^\n]{0,1000}?[^`\n])\1(?!`)|\*\*([^*\n]{1,1000}(?:\*[^*\n]{1,200}){0,9})\*\*|__([^_\n]{1,1000})__|(?<![\w*])\*([^*\s][^*\n]{0,1000})\*(?!\*)|(?<![\w_])_([^_\s][^_\n]{0,1000})_(?!\w)|~~([^~\n]{1,1000})~~|\[([^\][\n]{1,500})\]\(([^()\s]{1,2000}(?:\([^()\s]{0,200}\))?)\)|\b(https?:\/\/[^\s<>()\][]{1,2000}[^\s<>()\][.,;:!?'"])|\\([\\`*_{}[\]()#+.!~|>-])/g;

function inline(text) {
  // One long line without an end is no text to look for emphasis in.
  if (text.length > 20_000) return [text];
  const made = [];
  let end = 0;
  for (const one of text.matchAll(INLINE)) {
    if (one.index > end) made.push(text.slice(end, one.index));
    end = one.index + one[0].length;
    const [, , code, strong, strong2, weak, weak2, struck, label, target, address, literal] =
      one;
    if (code !== undefined) made.push(h("code", null, code));
    else if (strong ?? strong2) made.push(h("strong", null, strong ?? strong2));
    else if (weak ?? weak2) made.push(h("em", null, weak ?? weak2));
    else if (struck) made.push(h("s", null, struck));
    else if (label !== undefined) made.push(linked(label, target));
    else if (address) made.push(linked(address, address));
    else made.push(literal);
  }
  made.push(text.slice(end));
  return made;
}

/** A link says where it leads: what stands there may say anything. */
function linked(label, target) {
  let url = null;
  try {
    url = new URL(target);
  } catch {
    // A name of a file, say.
  }
  if (!url || !["http:", "https:", "mailto:"].includes(url.protocol) || url.username)
    return `${label} (${target})`;
  const link = h(
    "a",
    { href: url.href, rel: "noopener noreferrer nofollow", target: "_blank" },
    label,
  );
  return label === target
    ? link
    : [link, h("span.target", null, ` (${url.host || url.pathname})`)];
}

// --- code ---------------------------------------------------------------------------

const WORDS = new Set(
  "abstract and as assert async await break case catch class const continue def default del do elif else enum except export extends false final finally fn for from func function global if impl import in interface is lambda let loop match mod mut new nil none nonlocal not null or package pass private protected pub public raise return self static struct super switch this throw trait true try type typeof use var void where while with yield None True False".split(
    " ",
  ),
);
const TOKEN =
  /("(?:[^"\\\n]|\\.){0,2000}"|'(?:[^'\\\n]|\\.){0,2000}'|`(?:[^`\\]|\\.){0,2000}`)|(#[^\n]*|\/\/[^\n]*|\/\*[\s\S]{0,5000}?\*\/)|(\b\d[\w.]*\b)|([A-Za-z_]\w*)/g;
const COLOURED = 20_000;

/** Return a block of code, its words coloured. */
export function code(text, language = "") {
  if (/^(diff|patch)$/.test(language)) return diff(text);
  if (text.length > COLOURED) return long(text);
  const made = [];
  let end = 0;
  for (const one of text.matchAll(TOKEN)) {
    const [all, string, comment, number, word] = one;
    const kind = string
      ? "string"
      : comment
        ? "comment"
        : number
          ? "number"
          : WORDS.has(word)
            ? "word"
            : null;
    if (!kind) continue;
    made.push(text.slice(end, one.index), h(`span.code-${kind}`, null, all));
    end = one.index + all.length;
  }
  made.push(text.slice(end));
  return h(
    "pre.code",
    { tabindex: "0", "data-language": language || null },
    h("code", null, made),
  );
}

/** Return a diff, its lines coloured and told apart for who sees no colour. */
export function diff(text) {
  if (text.length > MOST) return long(text);
  const lines = text.split("\n").map((line) => {
    const kind = /^(\+\+\+|---|@@|diff )/.test(line)
      ? "place"
      : line[0] === "+"
        ? "added"
        : line[0] === "-"
          ? "removed"
          : "same";
    return h(`span.diff-${kind}`, null, `${line}\n`);
  });
  return h("pre.code.diff", { tabindex: "0" }, h("code", null, lines));
}
