// Reads a JSON list of Mermaid sources from stdin, and prints what Mermaid's own parser makes of
// each: its nodes and links, or its error. Argument: the folder node_modules.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const modules = process.argv[2];
const { JSDOM } = createRequire(modules + "/")("jsdom");
globalThis.window = new JSDOM("").window;
globalThis.document = globalThis.window.document;
const mermaid = (await import(modules + "/mermaid/dist/mermaid.core.mjs")).default;

async function read(text) {
  try {
    await mermaid.parse(text);
    const { db } = await mermaid.mermaidAPI.getDiagramFromText(text);
    return {
      nodes: [...db.getVertices().values()].map((node) => node.text),
      links: db.getEdges().map((edge) => [edge.start, edge.end, edge.text]),
      groups: db.getSubGraphs().map((group) => group.title),
    };
  } catch (error) {
    return { error: String(error) };
  }
}

const answers = [];
for (const text of JSON.parse(readFileSync(0, "utf8"))) answers.push(await read(text));
console.log(JSON.stringify(answers));
