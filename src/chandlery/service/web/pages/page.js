"use strict";

// Shows openapi.json, and sends what it describes. All that comes from elsewhere goes into text nodes, never into HTML.

const MOST_SHOWN = 20000;

function element(name, content = {}, ...children) {
  const made = Object.assign(document.createElement(name), content);
  made.append(...children);
  return made;
}

function resolved(root, schema = {}) {
  const path = schema.$ref && schema.$ref.slice(2).split("/");
  return path ? path.reduce((found, part) => found[part], root) : schema;
}

function example(root, given) {
  const schema = resolved(root, given);
  if (schema.examples) return schema.examples[0];
  if ("default" in schema) return schema.default;
  const option = (schema.anyOf || []).find((each) => each.type !== "null");
  if (option) return example(root, option);
  if (schema.type === "array") return [example(root, schema.items)];
  if (!schema.properties) return schema.type === "string" ? "" : null;
  return Object.fromEntries(Object.entries(schema.properties).map(([name, each]) => [name, example(root, each)]));
}

function field(name, value, help, needed) {
  const input = element("input", { name, value: value ?? "", required: needed, autocomplete: "off" });
  return element("label", {}, element("span", { textContent: name + (needed ? " *" : "") }), input, element("small", { textContent: help || "" }));
}

async function send(root, method, path, operation, form, shown) {
  const values = new FormData(form);
  const query = new URLSearchParams();
  let target = path.slice(1);
  for (const each of operation.parameters || []) {
    const value = values.get(each.name);
    if (value === "") continue;
    if (each.in === "path") target = target.replace(`{${each.name}}`, encodeURIComponent(value));
    if (each.in === "query") query.append(each.name, value);
  }
  const token = document.querySelector("#login").elements.token.value.trim();
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const kinds = Object.keys(operation.requestBody?.content || {});
  let body;
  if (kinds.includes("application/json")) {
    headers["Content-Type"] = "application/json";
    body = values.get("body");
  } else if (kinds.length) {
    body = new URLSearchParams([...values].filter(([, value]) => value !== ""));
  }
  shown.textContent = "…";
  try {
    const answer = await fetch(query.size ? `${target}?${query}` : target, { method, headers, body });
    const text = await answer.text();
    const rest = text.length > MOST_SHOWN ? `\n… ${text.length - MOST_SHOWN} characters more` : "";
    shown.textContent = `${answer.status} ${answer.statusText}\n${answer.headers.get("Content-Type")}\n\n${text.slice(0, MOST_SHOWN)}${rest}`;
  } catch (error) {
    shown.textContent = String(error);
  }
}

function described(root, method, path, operation) {
  const form = element("form");
  for (const each of operation.parameters || []) {
    const schema = resolved(root, each.schema);
    form.append(field(each.name, example(root, schema), each.description || schema.description, each.required));
  }
  for (const [kind, content] of Object.entries(operation.requestBody?.content || {})) {
    const schema = resolved(root, content.schema);
    if (kind === "application/json") {
      const value = JSON.stringify(example(root, schema), null, 2);
      form.append(element("label", {}, "body", element("textarea", { name: "body", value })));
    } else {
      for (const [name, each] of Object.entries(schema.properties || {})) {
        form.append(field(name, example(root, each), each.description, (schema.required || []).includes(name)));
      }
    }
  }
  const shown = element("pre");
  form.append(element("button", { textContent: "Send" }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(root, method, path, operation, form, shown);
  });
  const answers = Object.entries(operation.responses).map(([status, each]) => element("li", { textContent: `${status} ${each.description}` }));
  const heading = element("summary", {}, element("b", { textContent: method }), element("code", { textContent: path }), operation.summary || "");
  return element("details", {}, heading, element("p", { textContent: operation.description || "" }), form, shown, element("ul", {}, ...answers));
}

async function logIn(event) {
  event.preventDefault();
  const form = event.target;
  const body = new URLSearchParams({ grant_type: "password", username: form.username.value, password: form.password.value });
  const answer = await fetch("token", { method: "POST", body });
  const content = await answer.json();
  form.token.value = content.access_token || "";
  form.querySelector("output").textContent = answer.ok ? `logged in for ${content.expires_in} s: ${content.scope}` : content.error_description || content.detail;
}

async function show() {
  const root = await (await fetch("openapi.json")).json();
  document.querySelector("#description").textContent = root.info.description;
  const parts = new Map();
  for (const [path, methods] of Object.entries(root.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = (operation.tags || ["other"])[0];
      if (!parts.has(tag)) parts.set(tag, element("section", {}, element("h2", { textContent: tag })));
      parts.get(tag).append(described(root, method.toUpperCase(), path, operation));
    }
  }
  document.querySelector("main").replaceChildren(...parts.values());
}

document.querySelector("#login").addEventListener("submit", logIn);
show();
