// Lists the routes of /openapi.json: what each does, what it takes, what it answers.
"use strict";

function element(name, text, parent, className) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  if (className) made.className = className;
  parent.append(made);
  return made;
}

async function show() {
  const place = document.getElementById("routes");
  const description = await (await fetch("/openapi.json")).json();
  place.textContent = "";
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const [method, route] of Object.entries(methods)) {
      const section = element("section", "", place, "card");
      element("h3", `${method.toUpperCase()} ${path}`, section);
      element("p", route.description || route.summary, section);
      for (const [kind, body] of Object.entries(route.requestBody?.content || {})) {
        const details = element("details", "", section);
        element("summary", `Body: ${kind}`, details);
        element("pre", JSON.stringify(body.schema, null, 1), details);
      }
      element("p", `Answers: ${Object.keys(route.responses).join(", ")}`, section, "quiet");
    }
  }
}

show().catch((error) => { document.getElementById("routes").textContent = `The description could not be read: ${error.message}`; });
