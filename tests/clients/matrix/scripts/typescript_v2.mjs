// The TypeScript client, version 2, speaking 2026-07-28.
import { readFileSync, writeFileSync } from "node:fs";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

const plan = JSON.parse(process.env.PLAN);
const text = (result) => result.content.map((part) => part.text ?? "").join("");
const client = new Client({ name: "matrix", version: "0" }, { versionNegotiation: { mode: "auto" } });
await client.connect(new StdioClientTransport({ command: plan.command, args: plan.args, env: plan.env }));
const { tools } = await client.listTools();
const call = (name, args) => client.callTool({ name, arguments: args });
const answer = await call("generate", plan.generate);
const structured = await call("structured_generate", plan.structured);
const refused = await call("generate", plan.bad);
const again = await call("generate", plan.generate);
const protocol = client.getNegotiatedProtocolVersion();
await client.close();
writeFileSync(process.env.REPORT, JSON.stringify({
  version: JSON.parse(readFileSync("node_modules/@modelcontextprotocol/client/package.json")).version,
  protocol,
  tools: tools.map((tool) => tool.name),
  text: text(answer),
  data: structured.structuredContent.data,
  error: refused.isError ? text(refused) : null,
  again: text(again),
}));
