// Makes a textarea with JSON pleasant: line numbers, colours, problem lines, Tab, formatting. Without this
// file it is a plain textarea and works the same.
"use strict";

(() => {
  const INDENT = "  ";
  const PAINTED_CHARACTERS = 200000; // beyond that colours would make typing slow
  const TOKEN = /"(?:[^"\\\n]|\\.)*"?|[{}[\],:]|-?[0-9][0-9.eE+-]*|[A-Za-z]+|\s+|./g;
  const TEMPLATE = /\{\{.*?\}\}|\{%.*?%\}/g;

  // Formats without reading numbers or names: what JSON.parse would round or merge stays as it was typed.
  function formatted(text) {
    let out = "";
    let depth = 0;
    const tokens = text.match(TOKEN).filter((token) => token.trim());
    tokens.forEach((token, at) => {
      const next = tokens[at + 1];
      if (token === "{" || token === "[") {
        const isEmpty = next === "}" || next === "]";
        if (!isEmpty) depth += 1;
        out += token + (isEmpty ? "" : "\n" + INDENT.repeat(depth));
      } else if (token === "}" || token === "]") {
        const wasEmpty = tokens[at - 1] === "{" || tokens[at - 1] === "[";
        if (!wasEmpty) depth -= 1;
        out += (wasEmpty ? "" : "\n" + INDENT.repeat(depth)) + token;
      } else if (token === ",") {
        out += ",\n" + INDENT.repeat(depth);
      } else {
        out += token === ":" ? ": " : token;
      }
    });
    return out;
  }

  // The first place where a text stops being JSON, or null. The browser's own message has no line.
  const PIECE =
    /[ \t\r\n]*(?:("(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")|(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)|([{}[\],:])|($))/y;

  function faultOf(text) {
    const open = [];
    let wanted = "value";
    PIECE.lastIndex = 0;
    for (;;) {
      const from = PIECE.lastIndex;
      const found = PIECE.exec(text);
      const at = found ? PIECE.lastIndex - (found[1] || found[2] || found[3] || "").length : from + /^[ \t\r\n]*/.exec(text.slice(from))[0].length;
      if (!found) return { at, words: "this is no JSON" };
      const [, string, word, mark, end] = found;
      if (end !== undefined) return wanted === "end" ? null : { at, words: "something is missing at the end" };
      if (wanted === "end") return { at, words: "the document ends before this" };
      const closes = (mark === "}" && open.at(-1) === "{") || (mark === "]" && open.at(-1) === "[");
      if (closes && /after|first/.test(wanted)) {
        open.pop();
        wanted = open.length ? "after" : "end";
      } else if (/name/.test(wanted)) {
        if (!string) return { at, words: "a name in double quotes is expected" };
        wanted = "colon";
      } else if (wanted === "colon") {
        if (mark !== ":") return { at, words: "a colon is missing" };
        wanted = "value";
      } else if (wanted === "after") {
        if (mark !== ",") return { at, words: "a comma is missing before this" };
        wanted = open.at(-1) === "{" ? "name" : "value";
      } else if (mark === "{" || mark === "[") {
        open.push(mark);
        wanted = mark === "{" ? "first name" : "first value";
      } else if (string || word) {
        wanted = open.length ? "after" : "end";
      } else {
        return { at, words: "a value is expected" };
      }
    }
  }

  function placeOf(at, text) {
    const before = text.slice(0, at).split("\n");
    return { line: before.length, column: before[before.length - 1].length + 1 };
  }

  function kindOf(token, following) {
    if (token[0] === '"') return following === ":" ? "name" : "text";
    if (/^-?[0-9]/.test(token)) return "number";
    return /^(true|false|null)$/.test(token) ? "word" : "";
  }

  function span(kind, text) {
    const made = document.createElement("span");
    made.className = `lf-j-${kind}`;
    made.textContent = text;
    return made;
  }

  // One line of JSON as nodes. A text never spans lines, so each line can be painted by itself.
  function painted(line, into) {
    const tokens = line.match(TOKEN) || [];
    tokens.forEach((token, at) => {
      const following = tokens.slice(at + 1).find((other) => other.trim());
      const kind = kindOf(token, following);
      if (kind !== "text" && kind !== "name") {
        into.append(kind ? span(kind, token) : token);
        return;
      }
      let from = 0;
      for (const found of token.matchAll(TEMPLATE)) {
        if (found.index > from) into.append(span(kind, token.slice(from, found.index)));
        into.append(span("template", found[0]));
        from = found.index + found[0].length;
      }
      if (from < token.length) into.append(span(kind, token.slice(from)));
    });
  }

  function enhance(editor) {
    const area = editor.querySelector("textarea");
    const frame = editor.querySelector("[data-editor-frame]");
    const state = editor.querySelector("[data-editor-state]");
    const format = editor.querySelector("[data-editor-format]");
    const hint = editor.querySelector("[data-editor-hint]");
    const original = area.value;
    let badLines = new Set((area.dataset.errorLines || "").trim().split(/\s+/).filter(Boolean).map(Number));
    let leaving = false;
    let checking = 0;

    const gutter = document.createElement("div");
    gutter.className = "lf-editor-gutter";
    gutter.setAttribute("aria-hidden", "true");
    const paint = document.createElement("pre");
    paint.className = "lf-editor-paint";
    paint.setAttribute("aria-hidden", "true");
    frame.prepend(gutter, paint);
    frame.classList.add("lf-editor-ready");
    if (format) format.hidden = false;
    if (hint) hint.hidden = false;

    function draw() {
      const text = area.value;
      const lines = text.split("\n");
      const isSmall = text.length <= PAINTED_CHARACTERS;
      const numbers = document.createDocumentFragment();
      const coloured = document.createDocumentFragment();
      lines.forEach((line, at) => {
        const isBad = badLines.has(at + 1);
        if (at) numbers.append("\n");
        if (isBad) {
          const mark = document.createElement("span");
          mark.className = "lf-line-bad";
          mark.textContent = String(at + 1);
          numbers.append(mark);
        } else {
          numbers.append(String(at + 1));
        }
        const holder = isBad ? document.createElement("span") : coloured;
        if (isBad) holder.className = "lf-band";
        if (isSmall) painted(line, holder);
        else holder.append(line);
        if (isBad) {
          if (!line) holder.append("\u200b");
          coloured.append(holder); // a block: it ends its line itself
        } else if (at < lines.length - 1) {
          coloured.append("\n");
        }
      });
      gutter.replaceChildren(numbers);
      paint.replaceChildren(coloured);
      follow();
    }

    function follow() {
      gutter.scrollTop = area.scrollTop;
      paint.scrollTop = area.scrollTop;
      paint.scrollLeft = area.scrollLeft;
    }

    function say(text, isBad) {
      state.textContent = text;
      state.classList.toggle("lf-editor-bad", Boolean(isBad));
    }

    // Says what is wrong and marks its line. True when the text is JSON.
    function check() {
      if (area.readOnly) return true;
      if (!area.value.trim()) {
        say("Empty", false);
        return true;
      }
      const fault = faultOf(area.value);
      if (!fault) {
        say(area.value === original ? "" : "Well-formed, not saved yet", false);
        return true;
      }
      const place = placeOf(fault.at, area.value);
      badLines = new Set([place.line]);
      draw();
      say(`Line ${place.line}, column ${place.column}: ${fault.words}`, true);
      return false;
    }

    function changed() {
      badLines = new Set(); // they belonged to the text as it was sent
      draw();
      clearTimeout(checking);
      checking = setTimeout(check, 250);
    }

    // Through the browser's own editing, so that Undo takes it back.
    function put(text) {
      if (!document.execCommand("insertText", false, text)) {
        area.setRangeText(text, area.selectionStart, area.selectionEnd, "end");
        changed();
      }
    }

    function indent(event) {
      const from = area.value.lastIndexOf("\n", area.selectionStart - 1) + 1;
      const chosen = area.value.slice(from, area.selectionEnd);
      if (!event.shiftKey && !area.value.slice(area.selectionStart, area.selectionEnd).includes("\n")) return put(INDENT);
      const moved = event.shiftKey ? chosen.replace(/^ {1,2}/gm, "") : chosen.replace(/^/gm, INDENT);
      area.setSelectionRange(from, area.selectionEnd);
      put(moved);
      area.setSelectionRange(from, from + moved.length);
      return undefined;
    }

    function newLine(event) {
      const before = area.value.slice(area.value.lastIndexOf("\n", area.selectionStart - 1) + 1, area.selectionStart);
      const deeper = /[{[]\s*$/.test(before) ? INDENT : "";
      event.preventDefault();
      put("\n" + /^\s*/.exec(before)[0] + deeper);
    }

    function goTo(line, column) {
      const lines = area.value.split("\n");
      const start = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0);
      area.focus({ preventScroll: true });
      area.setSelectionRange(start + column - 1, start + (lines[line - 1] || "").length);
      const height = area.scrollHeight / lines.length;
      area.scrollTop = Math.max(0, (line - 6) * height);
      frame.scrollIntoView({ block: "nearest" });
    }

    area.addEventListener("input", changed);
    area.addEventListener("scroll", follow);
    area.addEventListener("blur", () => (leaving = false));
    area.addEventListener("keydown", (event) => {
      if (event.key === "Escape") leaving = true;
      else if (event.key === "Tab" && !leaving && !area.readOnly) {
        event.preventDefault();
        indent(event);
      } else if (event.key === "Enter" && !area.readOnly && !event.isComposing) newLine(event);
      else if (event.key !== "Tab" && event.key !== "Shift") leaving = false;
    });
    if (format)
      format.addEventListener("click", () => {
        if (!area.value.trim() || !check()) return;
        area.focus();
        area.select();
        put(formatted(area.value));
        area.setSelectionRange(0, 0);
        area.scrollTop = 0;
      });
    editor.addEventListener("click", (event) => {
      const link = event.target.closest("[data-goto]");
      if (!link) return;
      event.preventDefault();
      goTo(Number(link.dataset.goto), Number(link.dataset.gotoColumn) || 1);
    });
    guard(area, original);
    draw();
    if (badLines.size) area.scrollTop = Math.max(0, (Math.min(...badLines) - 4) * (area.scrollHeight / area.value.split("\n").length));
  }

  // Leaving with unsaved text asks first; Ctrl+S saves.
  function guard(area, original) {
    const form = area.closest("form");
    if (!form) return;
    let isSent = false;
    form.addEventListener("submit", () => (isSent = true));
    form.addEventListener("keydown", (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key === "s" && !area.readOnly) {
        event.preventDefault();
        form.requestSubmit(form.querySelector("[name=_save]"));
      }
    });
    if (!form.hasAttribute("data-guarded")) return;
    window.addEventListener("beforeunload", (event) => {
      if (!isSent && area.value !== original) event.preventDefault();
    });
  }

  const start = () => document.querySelectorAll("[data-editor]").forEach(enhance);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
