// The TypeScript SDK, version 1: the base of many clients.
import { readFileSync, writeFileSync } from "node:fs";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

const plan = JSON.parse(process.env.PLAN);
const text = (result) => result.content.map((part) => part.text ?? "").join("");
const client = new Client({ name: "matrix", version: "0" });
await client.connect(new StdioClientTransport({ command: plan.command, args: plan.args, env: plan.env }));
const { tools } = await client.listTools();
const call = (name, args) => client.callTool({ name, arguments: args });
const answer = await call("generate", plan.generate);
const structured = await call("structured_generate", plan.structured);
const refused = await call("generate", plan.bad);
const again = await call("generate", plan.generate);
await client.close();
writeFileSync(process.env.REPORT, JSON.stringify({
  version: JSON.parse(readFileSync("node_modules/@modelcontextprotocol/sdk/package.json")).version,
  tools: tools.map((tool) => tool.name),
  text: text(answer),
  data: structured.structuredContent.data,
  error: refused.isError ? text(refused) : null,
  again: text(again),
}));
